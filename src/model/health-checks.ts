/**
 * Health checks of Services: whether a load balancer finds a ready endpoint on this node.
 *
 * Balancers in front of Services with external policy Local ask each node on Service.spec.healthCheckNodePort. Counted
 * per IP family, as by kube-proxy: a balancer probes in the family in which it then sends, so in a dual-stack cluster
 * one Service has two counts. Pure; who answers is somebody else's business.
 */
import type { IPFamily } from './address.ts';
import { mergeSlices, type Slice } from './endpoint.ts';
import { objectKey } from './kubernetes.ts';
import type { NodePortAddresses } from './node.ts';
import { ownerOf, type Service } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

/** What may be asked about one Service in one IP family. */
export interface HealthCheck {
  /** `ns/name`. */
  readonly service: string;
  /** 1-65535. */
  readonly port: number;
  /** Addresses of ready endpoints on this node; one counts once, on however many ports it serves. */
  readonly localEndpoints: number;
  /** Of the Service, milliseconds since 1970: of two that want one port the older has it. */
  readonly createdAt: number;
  /** The Service's ports in this family, as ownerOf() names them: with none of their rules in the kernel nobody is served. */
  readonly owners: readonly string[];
}

/** Service `ns/name` → its health check; undefined = it has none (any more). */
export type HealthCheckChanges = ReadonlyMap<string, HealthCheck | undefined>;

/**
 * Costs what the Service has. An endpoint counts if a port of the Service leads to it; kube-proxy counts every port of
 * the slices, so that while a port is renamed it lures traffic to a node whose rules drop it.
 */
export const healthCheckOf = (
  service: Service | undefined,
  slices: readonly Slice[],
  family: IPFamily,
  nodeName: string,
): HealthCheck | undefined => {
  const ports = service?.ports[family] ?? [];
  const [first] = ports; // all ports of a Service have the same
  if (service === undefined || first === undefined || first.healthCheckNodePort === 0) return undefined;
  const ips = new Set<string>();
  for (const { name } of ports) {
    const endpoints = mergeSlices(slices, { name: name.port, protocol: name.protocol, family }, nodeName);
    // terminating ones may still get traffic, but the balancer is to look elsewhere
    for (const { ip, isLocal, ready } of endpoints) if (isLocal && ready) ips.add(ip);
  }
  const { healthCheckNodePort: port, createdAt } = first;
  const owners = ports.map(({ name }) => ownerOf(name));
  return { service: objectKey(service), port, localEndpoints: ips.size, createdAt, owners };
};

/** What of a family's work tells whose health check may be another. */
interface Taken {
  readonly node: { readonly nodePortAddresses: NodePortAddresses };
  readonly services: readonly ServiceEndpoints[];
  readonly gone: readonly string[];
}

/**
 * A family's changes on their way to those who answer: noted as they were when the work was taken, handed over when the
 * kernel has it. So no balancer hears of an endpoint that the rules do not know yet, however often a write fails.
 */
export class HealthCheckNews {
  readonly #checkOf: (service: string) => HealthCheck | undefined;
  /** Owner → its Service, of those with a health check. */
  readonly #services = new Map<string, string>();
  #changes = new Map<string, HealthCheck | undefined>();
  #addresses: NodePortAddresses = [];

  constructor(checkOf: (service: string) => HealthCheck | undefined) {
    this.#checkOf = checkOf;
  }

  /** Call at once after work was taken. Gives the same work. */
  note<W extends Taken>(work: W): W {
    const touched = new Set<string>();
    for (const owner of work.gone) {
      const service = this.#services.get(owner);
      if (service !== undefined) touched.add(service);
      this.#services.delete(owner);
    }
    for (const { port } of work.services) {
      // most have none
      if (port.healthCheckNodePort === 0 && this.#services.size === 0) continue;
      const owner = ownerOf(port.name);
      const service = objectKey(port.name);
      const had = this.#services.delete(owner);
      if (port.healthCheckNodePort !== 0) this.#services.set(owner, service);
      if (had || port.healthCheckNodePort !== 0) touched.add(service);
    }
    for (const service of touched) this.#changes.set(service, this.#checkOf(service));
    this.#addresses = work.node.nodePortAddresses;
    return work;
  }

  /** Everything noted since the last time, and the addresses that NodePorts have. Call once the work is done. */
  take(): { readonly changes: HealthCheckChanges; readonly addresses: NodePortAddresses } {
    const changes = this.#changes;
    this.#changes = new Map();
    return { changes, addresses: this.#addresses };
  }
}
