/**
 * Which tracked UDP flows lead nowhere useful. Pure.
 *
 * UDP knows no end: as long as a client keeps sending, conntrack leads its packets to the endpoint of the first one, also
 * when that is long gone. So flows are deleted whose endpoint serves no more, and those that were tracked before there was an
 * endpoint at all. kube-proxy leaves them where a Service lost all its endpoints or is deleted, and deletes whatever goes
 * to the number of a NodePort, at whatever address.
 */
import type { ServicePort } from './service.ts';
import { ownerOf } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

/** Where flows come in: `10.96.0.10 53`, or of a NodePort `:30053`. */
export type Entrance = string;
/** Where they lead: `10.0.0.1 53`. */
export type FlowTarget = string;

/** What of a tracked flow is looked at: what was sent to, and where answers come from. */
export interface FlowEnds {
  readonly original: { readonly destination: string; readonly destinationPort: number };
  readonly reply: { readonly source: string; readonly sourcePort: number };
}

const at = (ip: string, port: number): string => `${ip} ${port}`;
const ofNodePort = (port: number): Entrance => `:${port}`;

const entrancesOf = ({
  clusterIP,
  externalIPs,
  loadBalancerVIPs,
  port,
  nodePort,
}: ServicePort): readonly Entrance[] => [
  ...[clusterIP, ...externalIPs, ...loadBalancerVIPs].map((ip) => at(ip, port)),
  ...(nodePort === 0 ? [] : [ofNodePort(nodePort)]),
];

/** Entrance → who serves there, by owner: two Services may want the same one. */
export class Entrances {
  readonly #servings = new Map<Entrance, Map<string, ReadonlySet<FlowTarget>>>();
  readonly #byOwner = new Map<string, readonly Entrance[]>();

  /** Takes what a sync brought; gives the entrances of which flows may lead nowhere now. */
  update(services: readonly ServiceEndpoints[], gone: readonly string[]): ReadonlySet<Entrance> {
    const changed = new Set<Entrance>();
    for (const owner of gone) this.#set(owner, [], new Set(), changed);
    for (const { port, serving } of services) {
      if (port.name.protocol !== 'UDP') continue;
      const targets = new Set(serving.map((endpoint) => at(endpoint.ip, endpoint.port)));
      this.#set(ownerOf(port.name), entrancesOf(port), targets, changed);
    }
    return changed;
  }

  /** Whether this flow came in at one of these entrances and should go elsewhere, or nowhere. */
  isStale(flow: FlowEnds, among: ReadonlySet<Entrance>, isOfNode: (ip: string) => boolean): boolean {
    const { original, reply } = flow;
    const direct = at(original.destination, original.destinationPort);
    const nodePort = ofNodePort(original.destinationPort);
    const entrance = among.has(direct)
      ? direct
      : among.has(nodePort) && isOfNode(original.destination)
        ? nodePort
        : undefined;
    if (entrance === undefined) return false;
    const target = at(reply.source, reply.sourcePort);
    const servings = [...(this.#servings.get(entrance)?.values() ?? [])];
    if (servings.some((targets) => targets.has(target))) return false;
    // what was never led anywhere is of no harm as long as there is nobody to lead it to
    return target !== direct || servings.some((targets) => targets.size > 0);
  }

  #set(owner: string, entrances: readonly Entrance[], targets: ReadonlySet<FlowTarget>, changed: Set<Entrance>): void {
    const former = this.#byOwner.get(owner) ?? [];
    for (const entrance of former) if (!entrances.includes(entrance)) this.#leave(entrance, owner, changed);
    for (const entrance of entrances) {
      const servings = this.#servings.get(entrance) ?? new Map<string, ReadonlySet<FlowTarget>>();
      this.#servings.set(entrance, servings);
      if (!sameTargets(servings.get(owner), targets)) changed.add(entrance);
      servings.set(owner, targets);
    }
    if (entrances.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, entrances);
  }

  #leave(entrance: Entrance, owner: string, changed: Set<Entrance>): void {
    const servings = this.#servings.get(entrance);
    servings?.delete(owner);
    if (servings?.size === 0) this.#servings.delete(entrance);
    changed.add(entrance);
  }
}

const sameTargets = (a: ReadonlySet<FlowTarget> | undefined, b: ReadonlySet<FlowTarget>): boolean =>
  a !== undefined && a.size === b.size && [...a].every((target) => b.has(target));

/** An entrance's address and port, for asking the kernel for its flows alone. */
export const entranceFields = (
  entrance: Entrance,
): { readonly destination?: string; readonly destinationPort: number } => {
  const [ip = '', port = ''] = entrance.startsWith(':') ? ['', entrance.slice(1)] : entrance.split(' ');
  return ip === '' ? { destinationPort: Number(port) } : { destination: ip, destinationPort: Number(port) };
};
