/**
 * Which tracked UDP flows lead nowhere useful. Pure.
 *
 * UDP knows no end: as long as a client keeps sending, conntrack leads its packets to the endpoint of the first one, also
 * when that is long gone. So flows are deleted whose endpoint serves no more, and those that were tracked before there was an
 * endpoint at all. kube-proxy leaves them where a Service lost all its endpoints or is deleted, and deletes whatever goes
 * to the number of a NodePort, at whatever address.
 */
import { frontendAddresses } from './frontend.ts';
import type { Protocol } from './kubernetes.ts';
import type { ServicePort } from './service.ts';
import { ownerOf } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

/** Where flows come in: `10.96.0.10 53`, or of a NodePort `:30053`. */
export type Entrance = string;
/** Where they lead: `10.0.0.1 53`. */
export type FlowTarget = string;

/** An address and port of a Service, or a port of the node's. */
export interface Place {
  readonly ip: string | undefined;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What of a tracked flow is looked at: what was sent to, and where answers come from. */
export interface FlowEnds {
  readonly original: { readonly destination: string; readonly destinationPort: number };
  readonly reply: { readonly source: string; readonly sourcePort: number };
}

/** What the node's addresses are to NodePorts. */
export interface NodePlaces {
  /** The node's own, where flows to NodePorts may have come in. */
  isOfNode(ip: string): boolean;
  /** NodePorts answer there. */
  hasNodePorts(ip: string): boolean;
}

const at = (ip: string, port: number): string => `${ip} ${port}`;
const ofNodePort = (port: number): Entrance => `:${port}`;

/** Undefined where flows are not looked at: other protocols know an end. */
export const entranceOf = ({ ip, protocol, port }: Place): Entrance | undefined => {
  if (protocol !== 'UDP') return undefined;
  return ip === undefined ? ofNodePort(port) : at(ip, port);
};

const entrancesOf = (port: ServicePort): readonly Entrance[] =>
  frontendAddresses(port).map(({ ip, port: number }) => (ip === undefined ? ofNodePort(number) : at(ip, number)));

interface Serving {
  readonly entrances: readonly Entrance[];
  readonly targets: ReadonlySet<FlowTarget>;
}

const NOBODY: Serving = { entrances: [], targets: new Set() };
/** Entrances remembered of an owner whose changes do not get into the kernel. */
const MAX_REMEMBERED = 1_000;

/** Entrance → who serves there, by owner: two Services may want the same one. */
export class Entrances {
  readonly #servings = new Map<Entrance, Map<string, ReadonlySet<FlowTarget>>>();
  /** What is in the kernel. */
  readonly #byOwner = new Map<string, Serving>();
  /** What is wanted. */
  readonly #wanted = new Map<string, Serving>();
  /**
   * Owner → entrances that were to be otherwise since it last got into the kernel: a write that failed may have led flows
   * elsewhere, also where in the end nothing changes.
   */
  readonly #touched = new Map<string, Set<Entrance>>();
  /** Entrance that several owners want → where all of them lead, as far as it was asked for. */
  readonly #together = new Map<Entrance, ReadonlySet<FlowTarget>>();

  /** Takes what is about to be written. */
  note(services: readonly ServiceEndpoints[], gone: readonly string[]): void {
    for (const owner of gone) this.#want(owner, NOBODY);
    for (const { port, serving } of services) {
      if (port.name.protocol !== 'UDP') continue;
      const targets = new Set(serving.map((endpoint) => at(endpoint.ip, endpoint.port)));
      this.#want(ownerOf(port.name), { entrances: entrancesOf(port), targets });
    }
  }

  /** Takes what is in the kernel now; gives the entrances of which flows may lead nowhere. */
  update(services: readonly ServiceEndpoints[], gone: readonly string[]): ReadonlySet<Entrance> {
    this.note(services, gone);
    const changed = new Set<Entrance>();
    for (const owner of gone) this.#settle(owner, changed);
    for (const { port } of services) if (port.name.protocol === 'UDP') this.#settle(ownerOf(port.name), changed);
    return changed;
  }

  /** Takes what is wanted of an owner for what is in the kernel. */
  #settle(owner: string, changed: Set<Entrance>): void {
    const touched = this.#touched.get(owner);
    if (touched === undefined) return;
    this.#touched.delete(owner);
    for (const entrance of touched) changed.add(entrance);
    this.#set(owner, this.#wanted.get(owner) ?? NOBODY);
  }

  get isEmpty(): boolean {
    return this.#servings.size === 0;
  }

  /** Whether something comes in here, as far as the kernel has it. */
  has(entrance: Entrance): boolean {
    return this.#servings.has(entrance);
  }

  /** Whether this flow came in at one of these entrances and should go elsewhere, or nowhere. */
  isStale(flow: FlowEnds, among: Pick<ReadonlySet<Entrance>, 'has'>, places: NodePlaces): boolean {
    const { original, reply } = flow;
    const direct = at(original.destination, original.destinationPort);
    const target = at(reply.source, reply.sourcePort);
    const nodePort = ofNodePort(original.destinationPort);
    // an own socket behind the number of a NodePort is nobody else's business where NodePorts do not answer
    const isNodePort = target === direct ? places.hasNodePorts : places.isOfNode;
    const isAmong = among.has(direct) || (among.has(nodePort) && isNodePort(original.destination));
    if (!isAmong) return false;
    // an address goes before a NodePort
    const isServedDirectly = this.has(direct) || !isNodePort(original.destination);
    const targets = this.#targetsAt(isServedDirectly ? direct : nodePort);
    if (targets.has(target)) return false;
    // what was never led anywhere is of no harm as long as there is nobody to lead it to
    return target !== direct || targets.size > 0;
  }

  /** Of all owners together, put together once: flows may be many, and so may owners that want the same entrance. */
  #targetsAt(entrance: Entrance): ReadonlySet<FlowTarget> {
    const servings = this.#servings.get(entrance);
    if (servings === undefined) return NOBODY.targets;
    const [only] = servings.values();
    if (servings.size === 1 && only !== undefined) return only;
    const known = this.#together.get(entrance);
    if (known !== undefined) return known;
    const together = new Set([...servings.values()].flatMap((targets) => [...targets]));
    this.#together.set(entrance, together);
    return together;
  }

  #want(owner: string, wanted: Serving): void {
    const former = this.#wanted.get(owner) ?? NOBODY;
    if (sameServing(former, wanted)) return;
    const touched = this.#touched.get(owner) ?? new Set();
    this.#touched.set(owner, touched);
    const now = [...former.entrances, ...wanted.entrances];
    for (const entrance of now) {
      touched.delete(entrance); // what comes last is forgotten last
      touched.add(entrance);
    }
    for (const oldest of touched) {
      if (touched.size <= now.length + MAX_REMEMBERED) break;
      touched.delete(oldest);
    }
    if (wanted.entrances.length === 0) this.#wanted.delete(owner);
    else this.#wanted.set(owner, wanted);
  }

  #set(owner: string, serving: Serving): void {
    for (const entrance of this.#byOwner.get(owner)?.entrances ?? []) {
      this.#together.delete(entrance);
      const servings = this.#servings.get(entrance);
      servings?.delete(owner);
      if (servings?.size === 0) this.#servings.delete(entrance);
    }
    for (const entrance of serving.entrances) {
      this.#together.delete(entrance);
      const servings = this.#servings.get(entrance) ?? new Map<string, ReadonlySet<FlowTarget>>();
      this.#servings.set(entrance, servings.set(owner, serving.targets));
    }
    if (serving.entrances.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, serving);
  }
}

const sameServing = (a: Serving, b: Serving): boolean =>
  a.entrances.length === b.entrances.length &&
  a.entrances.every((entrance, i) => entrance === b.entrances[i]) &&
  a.targets.size === b.targets.size &&
  [...a.targets].every((target) => b.targets.has(target));

/** An entrance's address and port, for asking the kernel for its flows alone. */
export const entranceFields = (
  entrance: Entrance,
): { readonly destination?: string; readonly destinationPort: number } => {
  const [ip = '', port = ''] = entrance.startsWith(':') ? ['', entrance.slice(1)] : entrance.split(' ');
  return ip === '' ? { destinationPort: Number(port) } : { destination: ip, destinationPort: Number(port) };
};
