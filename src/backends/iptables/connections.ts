/**
 * Connections of Services, by what the kernel counts anyway. Pure, fed line by line.
 *
 * Table nat sees the first packet of each connection, and whichever way one took (KUBE-EXT, KUBE-SVC or KUBE-SVL, by chance
 * or by affinity), it is translated by one rule: that of its endpoint, in a chain that belongs to one service port. These
 * chains are written when an endpoint comes and not again, so no other change makes them count anew.
 */
import type { Counts } from '../../dataplane/contract.ts';
import { chainId, targetOf } from '../xtables/objects.ts';

const COUNTED = /^\[(\d+):\d+\] -A (KUBE-SEP-\S+) (.*)$/;

export class ConnectionCounts {
  readonly #counts = new Map<string, Counts>();

  /** By chain. */
  get counts(): ReadonlyMap<string, Counts> {
    return this.#counts;
  }

  push(line: string): void {
    const [, packets, name, rule] = COUNTED.exec(line) ?? [];
    if (name === undefined || rule === undefined || targetOf(rule) !== 'DNAT') return;
    const id = chainId('nat', name);
    this.#counts.set(id, { connections: (this.#counts.get(id)?.connections ?? 0) + Number(packets) });
  }
}
