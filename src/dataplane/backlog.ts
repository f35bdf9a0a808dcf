/** What was handed over and is not staged yet, or not yet reported: a sync that fails before it gets there loses nothing. */
import type { NodeContext } from '../model/node.ts';
import { ownerOf } from '../model/service.ts';
import type { ServiceEndpoints } from '../model/topology.ts';

/** What changed since the last sync; the node context in force. */
export interface SyncInput {
  readonly node: NodeContext;
  readonly nodeChanged: boolean;
  readonly services: readonly ServiceEndpoints[];
  readonly gone: readonly string[];
}

export interface Backlog {
  /** By owner. */
  readonly services: Map<string, ServiceEndpoints>;
  readonly gone: Set<string>;
  nodeChanged: boolean;
}

export const newBacklog = (): Backlog => ({ services: new Map(), gone: new Set(), nodeChanged: false });

/** What came last counts. */
export const remember = (backlog: Backlog, input: SyncInput): void => {
  for (const owner of input.gone) {
    backlog.gone.add(owner);
    backlog.services.delete(owner);
  }
  for (const service of input.services) {
    const owner = ownerOf(service.port.name);
    backlog.gone.delete(owner);
    backlog.services.set(owner, service);
  }
  backlog.nodeChanged ||= input.nodeChanged;
};
