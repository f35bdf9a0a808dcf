/**
 * Health checks of Services: the number of ready endpoints on this node. Pure; observe/health-checks.ts answers them.
 *
 * Load balancers in front of Services with external policy Local probe each node on Service.spec.healthCheckNodePort. The
 * count is per IP family, as in kube-proxy: a balancer probes in the family in which it then sends.
 */
import type { IPFamily } from './address.ts';
import { mergeSlices, type Slice } from './endpoint.ts';
import { objectKey } from './kubernetes.ts';
import type { NodePortAddresses } from './node.ts';
import { ownerOf, type Service } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

/** Health check of one Service in one IP family. */
export interface HealthCheck {
  /** `ns/name`. */
  readonly service: string;
  /** 1-65535. */
  readonly port: number;
  /** Number of addresses of ready endpoints on this node; an address on several ports counts once. */
  readonly localEndpoints: number;
  /** Creation of the Service, milliseconds since 1970: of two that want one port the older has it. */
  readonly createdAt: number;
  /** Owners of the Service's ports in this family (ownerOf): the node serves if the rules of one are in the kernel. */
  readonly owners: readonly string[];
}

/** Health checks by Service `ns/name`; undefined for a Service that has none (any more). */
export type HealthCheckChanges = ReadonlyMap<string, HealthCheck | undefined>;

/**
 * Health check of a Service; undefined for one without. Costs the Service's endpoints. An endpoint counts if a port of the
 * Service leads to it. kube-proxy counts all ports of the slices, and so draws traffic to a node whose rules drop it while a
 * port is renamed.
 */
export const healthCheckOf = (
  service: Service | undefined,
  slices: readonly Slice[],
  family: IPFamily,
  nodeName: string,
): HealthCheck | undefined => {
  const ports = service?.ports[family] ?? [];
  const [first] = ports; // all ports of a Service have the same health-check port
  if (service === undefined || first === undefined || first.healthCheckNodePort === 0) return undefined;
  const ips = new Set<string>();
  for (const { name } of ports) {
    const endpoints = mergeSlices(slices, { name: name.port, protocol: name.protocol, family }, nodeName);
    // terminating endpoints may still get traffic, but the balancer is to use other nodes
    for (const { ip, isLocal, ready } of endpoints) if (isLocal && ready) ips.add(ip);
  }
  const { healthCheckNodePort: port, createdAt } = first;
  const owners = ports.map(({ name }) => ownerOf(name));
  return { service: objectKey(service), port, localEndpoints: ips.size, createdAt, owners };
};

/** Part of a family's work that tells which health checks may change. */
interface Taken {
  readonly node: { readonly nodePortAddresses: NodePortAddresses };
  readonly services: readonly ServiceEndpoints[];
  readonly gone: readonly string[];
}

/**
 * Pending changes of one family's health checks: noted when the work is taken, handed over when it is in the kernel. So no
 * balancer is told of an endpoint before the rules have it, however often a write fails.
 */
export class PendingHealthChecks {
  readonly #checkOf: (service: string) => HealthCheck | undefined;
  /** Service by owner, of Services with a health check. */
  readonly #services = new Map<string, string>();
  #changes = new Map<string, HealthCheck | undefined>();
  #addresses: NodePortAddresses = [];

  constructor(checkOf: (service: string) => HealthCheck | undefined) {
    this.#checkOf = checkOf;
  }

  /** Notes changes; call as soon as work was taken. Returns the same work. */
  note<W extends Taken>(work: W): W {
    const touched = new Set<string>();
    for (const owner of work.gone) {
      const service = this.#services.get(owner);
      if (service !== undefined) touched.add(service);
      this.#services.delete(owner);
    }
    for (const { port } of work.services) {
      // most Services have none
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

  /** Takes the changes noted since the last call, and the addresses of NodePorts; call once the work is in the kernel. */
  take(): { readonly changes: HealthCheckChanges; readonly addresses: NodePortAddresses } {
    const changes = this.#changes;
    this.#changes = new Map();
    return { changes, addresses: this.#addresses };
  }
}
