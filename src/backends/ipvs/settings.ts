/** Settings of mode ipvs that the operator configures. */
import type { Cidr } from '../../model/address.ts';
import { excerpt } from '../../model/excerpt.ts';
import type { ServicePort } from '../../model/service.ts';
import type { MarkSettings } from './marks.ts';

export interface IpvsSettings {
  /** Scheduler of virtual servers whose Service names none. */
  readonly scheduler: string;
  readonly strictARP: boolean;
  /** Networks whose virtual servers are left alone, unless a Service has their address and port. */
  readonly excluded: readonly Cidr[];
  /** Seconds. 0: the kernel's value is kept. */
  readonly timeouts: { readonly tcp: number; readonly tcpFin: number; readonly udp: number };
  /** Sets conn_reuse_mode to 0: IPVS of Linux 4.1 to 5.8 drops packets that reuse a port (k/k#81775). */
  readonly ignoresReuse: boolean;
  readonly marks: MarkSettings;
}

/** Schedulers of ipvsadm(8) and of Linux 6. */
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

/** Scheduler of a Service. An unknown name in its annotation counts as none, and has a note. */
export const schedulerOf = ({ scheduler }: ServicePort, settings: IpvsSettings): string =>
  scheduler !== undefined && SCHEDULERS.includes(scheduler) ? scheduler : settings.scheduler;

export const schedulerNotes = ({ scheduler }: ServicePort, settings: IpvsSettings): readonly string[] =>
  scheduler === undefined || SCHEDULERS.includes(scheduler)
    ? []
    : [
        `annotation pointsman.dev/ipvs-scheduler: IPVS has no ${excerpt(scheduler)}, so it is ` +
          `${settings.scheduler}; there is: ${SCHEDULERS.join(', ')}`,
      ];
