/**
 * Stale UDP flows: conntrack entries whose target serves no more, or that were tracked before there was an endpoint. Pure.
 *
 * UDP flows have no end: while a client keeps sending, conntrack sends its packets to the endpoint of the first one, also
 * when that is gone. kube-proxy leaves flows where a Service lost all its endpoints or is deleted, and deletes all flows to
 * a NodePort's number, at whatever address.
 */
import { type AddressPort, frontendAddresses } from './frontend.ts';
import type { ServicePort } from './service.ts';
import { ownerOf } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

/** Key of a frontend: `10.96.0.10 53`, or of a NodePort `:30053`. */
export type FrontendKey = string;
/** Address and port from which a flow's replies come: `10.0.0.1 53`. */
export type FlowTarget = string;

/** Destination of a conntrack entry's original packets, and source of its replies. */
export interface FlowTuples {
  readonly original: { readonly destination: string; readonly destinationPort: number };
  readonly reply: { readonly source: string; readonly sourcePort: number };
}

/** Addresses of the node, with regard to NodePorts. */
export interface NodePortMatch {
  /** True for an address of the node, at which flows to NodePorts may have come in. */
  isOfNode(ip: string): boolean;
  /** True for an address at which NodePorts answer. */
  hasNodePorts(ip: string): boolean;
}

const at = (ip: string, port: number): string => `${ip} ${port}`;
const ofNodePort = (port: number): FrontendKey => `:${port}`;

/** Key of a UDP frontend; undefined for other protocols, whose flows end by themselves. */
export const frontendKeyOf = ({ ip, protocol, port }: AddressPort): FrontendKey | undefined => {
  if (protocol !== 'UDP') return undefined;
  return ip === undefined ? ofNodePort(port) : at(ip, port);
};

const frontendKeysOf = (port: ServicePort): readonly FrontendKey[] =>
  frontendAddresses(port).map(({ ip, port: number }) => (ip === undefined ? ofNodePort(number) : at(ip, number)));

/** Frontends of one owner, all of which lead to the same targets. */
interface OwnerTargets {
  readonly frontends: readonly FrontendKey[];
  readonly targets: ReadonlySet<FlowTarget>;
}

const NO_TARGETS: OwnerTargets = { frontends: [], targets: new Set() };
/** Frontends kept of an owner whose changes do not get into the kernel. */
const MAX_REMEMBERED = 1_000;

/** Targets by frontend and owner: two Services may want one frontend. */
export class UdpFrontends {
  readonly #byFrontend = new Map<FrontendKey, Map<string, ReadonlySet<FlowTarget>>>();
  /** Frontends and targets in the kernel, by owner. */
  readonly #byOwner = new Map<string, OwnerTargets>();
  /** Wanted frontends and targets, by owner. */
  readonly #wanted = new Map<string, OwnerTargets>();
  /**
   * Frontends that were to change since an owner's last write, by owner: a failed write may have sent flows elsewhere, also
   * where in the end nothing changes.
   */
  readonly #touched = new Map<string, Set<FrontendKey>>();
  /** Cache of the targets of all owners, by frontend that several owners want. */
  readonly #merged = new Map<FrontendKey, ReadonlySet<FlowTarget>>();

  /** Notes input that is about to be written. */
  note(services: readonly ServiceEndpoints[], gone: readonly string[]): void {
    for (const owner of gone) this.#want(owner, NO_TARGETS);
    for (const { port, serving } of services) {
      if (port.name.protocol !== 'UDP') continue;
      const targets = new Set(serving.map((endpoint) => at(endpoint.ip, endpoint.port)));
      this.#want(ownerOf(port.name), { frontends: frontendKeysOf(port), targets });
    }
  }

  /** Takes input that is in the kernel now; returns the frontends that may have stale flows. */
  update(services: readonly ServiceEndpoints[], gone: readonly string[]): ReadonlySet<FrontendKey> {
    this.note(services, gone);
    const changed = new Set<FrontendKey>();
    for (const owner of gone) this.#settle(owner, changed);
    for (const { port } of services) if (port.name.protocol === 'UDP') this.#settle(ownerOf(port.name), changed);
    return changed;
  }

  /** Makes an owner's wanted frontends and targets those in the kernel. */
  #settle(owner: string, changed: Set<FrontendKey>): void {
    const touched = this.#touched.get(owner);
    if (touched === undefined) return;
    this.#touched.delete(owner);
    for (const frontend of touched) changed.add(frontend);
    this.#set(owner, this.#wanted.get(owner) ?? NO_TARGETS);
  }

  get isEmpty(): boolean {
    return this.#byFrontend.size === 0;
  }

  /** True for a frontend that is in the kernel. */
  has(frontend: FrontendKey): boolean {
    return this.#byFrontend.has(frontend);
  }

  /** True for a flow that came in at one of these frontends and whose target does not serve there. */
  isStale(flow: FlowTuples, among: Pick<ReadonlySet<FrontendKey>, 'has'>, nodePorts: NodePortMatch): boolean {
    const { original, reply } = flow;
    const direct = at(original.destination, original.destinationPort);
    const target = at(reply.source, reply.sourcePort);
    const nodePort = ofNodePort(original.destinationPort);
    // where NodePorts do not answer, a flow to the node itself is one to a socket of the node
    const isNodePort = target === direct ? nodePorts.hasNodePorts : nodePorts.isOfNode;
    const isAmong = among.has(direct) || (among.has(nodePort) && isNodePort(original.destination));
    if (!isAmong) return false;
    // frontends with an address go before NodePorts
    const isServedDirectly = this.has(direct) || !isNodePort(original.destination);
    const targets = this.#targetsAt(isServedDirectly ? direct : nodePort);
    if (targets.has(target)) return false;
    // a flow without DNAT does no harm as long as there is no endpoint
    return target !== direct || targets.size > 0;
  }

  /** Targets of all owners, cached: flows may be many, and so may owners that want one frontend. */
  #targetsAt(frontend: FrontendKey): ReadonlySet<FlowTarget> {
    const servings = this.#byFrontend.get(frontend);
    if (servings === undefined) return NO_TARGETS.targets;
    const [only] = servings.values();
    if (servings.size === 1 && only !== undefined) return only;
    const known = this.#merged.get(frontend);
    if (known !== undefined) return known;
    const merged = new Set([...servings.values()].flatMap((targets) => [...targets]));
    this.#merged.set(frontend, merged);
    return merged;
  }

  #want(owner: string, wanted: OwnerTargets): void {
    const former = this.#wanted.get(owner) ?? NO_TARGETS;
    if (sameTargets(former, wanted)) return;
    const touched = this.#touched.get(owner) ?? new Set();
    this.#touched.set(owner, touched);
    const now = [...former.frontends, ...wanted.frontends];
    for (const frontend of now) {
      touched.delete(frontend); // moves to the end: the oldest are dropped first
      touched.add(frontend);
    }
    for (const oldest of touched) {
      if (touched.size <= now.length + MAX_REMEMBERED) break;
      touched.delete(oldest);
    }
    if (wanted.frontends.length === 0) this.#wanted.delete(owner);
    else this.#wanted.set(owner, wanted);
  }

  #set(owner: string, serving: OwnerTargets): void {
    for (const frontend of this.#byOwner.get(owner)?.frontends ?? []) {
      this.#merged.delete(frontend);
      const servings = this.#byFrontend.get(frontend);
      servings?.delete(owner);
      if (servings?.size === 0) this.#byFrontend.delete(frontend);
    }
    for (const frontend of serving.frontends) {
      this.#merged.delete(frontend);
      const servings = this.#byFrontend.get(frontend) ?? new Map<string, ReadonlySet<FlowTarget>>();
      this.#byFrontend.set(frontend, servings.set(owner, serving.targets));
    }
    if (serving.frontends.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, serving);
  }
}

const sameTargets = (a: OwnerTargets, b: OwnerTargets): boolean =>
  a.frontends.length === b.frontends.length &&
  a.frontends.every((frontend, i) => frontend === b.frontends[i]) &&
  a.targets.size === b.targets.size &&
  [...a.targets].every((target) => b.targets.has(target));

/** Address and port of a key, for a conntrack dump that the kernel filters; no `destination` for a NodePort. */
export const destinationOf = (
  frontend: FrontendKey,
): { readonly destination?: string; readonly destinationPort: number } => {
  const [ip = '', port = ''] = frontend.startsWith(':') ? ['', frontend.slice(1)] : frontend.split(' ');
  return ip === '' ? { destinationPort: Number(port) } : { destination: ip, destinationPort: Number(port) };
};
