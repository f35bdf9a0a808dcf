/**
 * Connections of Services, from the rule counters that the kernel keeps anyway. Pure, fed line by line.
 *
 * Table nat sees the first packet of each connection. Through whichever chain it came (KUBE-EXT, KUBE-SVC or KUBE-SVL, by
 * chance or by affinity), one DNAT rule matches it: that of its endpoint, in a chain of one service port. Such a chain is
 * written when its endpoint is added and not again, so no other change resets its counters.
 */
import type { TrafficCounts } from '../../dataplane/contract.ts';
import { chainId, targetOf } from '../xtables/objects.ts';

const COUNTED = /^\[(\d+):\d+\] -A (KUBE-SEP-\S+) (.*)$/;

export class ConnectionCounts {
  readonly #counts = new Map<string, TrafficCounts>();

  /** Counts by chain id. */
  get counts(): ReadonlyMap<string, TrafficCounts> {
    return this.#counts;
  }

  push(line: string): void {
    const [, packets, name, rule] = COUNTED.exec(line) ?? [];
    if (name === undefined || rule === undefined || targetOf(rule) !== 'DNAT') return;
    const id = chainId('nat', name);
    this.#counts.set(id, { connections: (this.#counts.get(id)?.connections ?? 0) + Number(packets) });
  }
}
