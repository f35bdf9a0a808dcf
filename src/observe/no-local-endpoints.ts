/**
 * Count of service ports whose traffic this node drops, as the policy is Local and no endpoint is local. A change costs what
 * it changes.
 */
import { externalChoices, internalChoice } from '../model/frontend.ts';
import { objectKey } from '../model/kubernetes.ts';
import { isExternallyAccessible, ownerOf } from '../model/service.ts';
import type { ServiceEndpoints } from '../model/topology.ts';

export type TrafficPolicy = 'internal' | 'external';

export const TRAFFIC_POLICIES: readonly TrafficPolicy[] = ['internal', 'external'];

export class NoLocalEndpoints {
  readonly #bySide: Readonly<Record<TrafficPolicy, NameCounts>> = {
    internal: new NameCounts(),
    external: new NameCounts(),
  };
  readonly #nameOf: (service: ServiceEndpoints) => string;

  /** `unit`: kube-proxy counts service ports, and in mode ipvs Services. */
  constructor(unit: 'port' | 'service') {
    this.#nameOf = ({ port }) => (unit === 'port' ? ownerOf(port.name) : objectKey(port.name));
  }

  update(services: readonly ServiceEndpoints[], gone: readonly string[]): void {
    for (const side of TRAFFIC_POLICIES) {
      const names = this.#bySide[side];
      for (const owner of gone) names.remove(owner);
      for (const service of services) {
        // most service ports lack no endpoint, and a sync may have all of them
        if (lacksLocal(service, side)) names.add(ownerOf(service.port.name), this.#nameOf(service));
        else if (names.size > 0) names.remove(ownerOf(service.port.name));
      }
    }
  }

  count(side: TrafficPolicy): number {
    return this.#bySide[side].size;
  }
}

const lacksLocal = (service: ServiceEndpoints, side: TrafficPolicy): boolean =>
  side === 'internal'
    ? internalChoice(service) === 'drop'
    : isExternallyAccessible(service.port) && externalChoices(service).outside === 'drop';

/** Count of distinct names of its members. */
class NameCounts {
  readonly #names = new Map<string, string>();
  readonly #members = new Map<string, number>();

  get size(): number {
    return this.#members.size;
  }

  add(owner: string, name: string): void {
    if (this.#names.has(owner)) return; // an owner's name never changes
    this.#names.set(owner, name);
    this.#members.set(name, (this.#members.get(name) ?? 0) + 1);
  }

  remove(owner: string): void {
    const name = this.#names.get(owner);
    if (name === undefined) return;
    this.#names.delete(owner);
    const left = (this.#members.get(name) ?? 0) - 1;
    if (left > 0) this.#members.set(name, left);
    else this.#members.delete(name);
  }
}
