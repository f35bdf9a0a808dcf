/** Backlog: input that is not staged yet, or not yet reported. A sync that fails before it gets there loses nothing. */
import type { Work } from '../model/family-work.ts';
import { ownerOf } from '../model/service.ts';
import type { ServiceEndpoints } from '../model/topology.ts';

export interface Backlog {
  /** Input by owner. */
  readonly services: Map<string, ServiceEndpoints>;
  readonly gone: Set<string>;
  nodeChanged: boolean;
}

export const newBacklog = (): Backlog => ({ services: new Map(), gone: new Set(), nodeChanged: false });

/** Trigger times kept of an owner whose changes do not get into the kernel: the oldest ones. */
const MAX_TRIGGERS = 1_000;

/** Adds input: an owner's last one counts, with the trigger times of earlier ones, which are not in the kernel yet either. */
export const remember = (backlog: Backlog, input: Work): void => {
  for (const owner of input.gone) {
    backlog.gone.add(owner);
    backlog.services.delete(owner);
  }
  for (const service of input.services) {
    const owner = ownerOf(service.port.name);
    backlog.gone.delete(owner);
    const earlier = backlog.services.get(owner)?.triggeredAt ?? [];
    const triggeredAt = [...earlier, ...service.triggeredAt].slice(0, MAX_TRIGGERS);
    backlog.services.set(owner, earlier.length === 0 ? service : { ...service, triggeredAt });
  }
  backlog.nodeChanged ||= input.nodeChanged;
};

/** True while input is left to stage. */
export const isOutstanding = ({ services, gone, nodeChanged }: Backlog): boolean =>
  nodeChanged || services.size > 0 || gone.size > 0;
