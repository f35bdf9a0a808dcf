/** What the operator configured for this mode. */
import type { Cidr } from '../../model/address.ts';
import { excerpt } from '../../model/excerpt.ts';
import type { ServicePort } from '../../model/service.ts';
import type { MarkSettings } from './marks.ts';

export interface IpvsSettings {
  /** Of virtual servers whose Service names none. */
  readonly scheduler: string;
  readonly strictARP: boolean;
  /** Virtual servers in these networks are left alone. */
  readonly excluded: readonly Cidr[];
  /** Seconds; 0 = as the kernel has it. */
  readonly timeouts: { readonly tcp: number; readonly tcpFin: number; readonly udp: number };
  /** IPVS of kernels from 4.1 up to 5.8 drops what reuses a port (k/k#81775): there it is told not to look. */
  readonly ignoresReuse: boolean;
  readonly marks: MarkSettings;
}

/** ipvsadm(8), and the modules of Linux 6. */
export const SCHEDULERS: readonly string[] = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
  'twos',
];

/** An unknown name in the Service's annotation counts as none, and is told. */
export const schedulerOf = ({ scheduler }: ServicePort, settings: IpvsSettings): string =>
  scheduler !== undefined && SCHEDULERS.includes(scheduler) ? scheduler : settings.scheduler;

export const schedulerNotes = ({ scheduler }: ServicePort, settings: IpvsSettings): readonly string[] =>
  scheduler === undefined || SCHEDULERS.includes(scheduler)
    ? []
    : [
        `annotation pointsman.dev/ipvs-scheduler: IPVS has no ${excerpt(scheduler)}, so it is ` +
          `${settings.scheduler}; there is: ${SCHEDULERS.join(', ')}`,
      ];
