/**
 * Health-check node ports of Services in one IP family: tells load balancers whether this node has an endpoint.
 *
 * There is one instance a family, as in kube-proxy: a balancer that probes over IPv4 sends over IPv4, and must not be told
 * of endpoints that only IPv6 reaches. So IPv6 sockets take no IPv4 connections, and both families listen on one port.
 *
 * A Service's port is open on all addresses of NodePorts, and follows them. Of two Services with one port the older has it.
 * Addresses that cannot be listened on are reported and tried again; all others go on.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Clock, systemClock } from '../dataplane/clock.ts';
import type { IPFamily } from '../model/address.ts';
import type { HealthCheck, HealthCheckChanges } from '../model/health-checks.ts';
import type { NodePortAddresses } from '../model/node.ts';
import { Connections } from './connections.ts';
import { HealthListener } from './health-listener.ts';
import type { Answer } from './http.ts';

export interface HealthCheckProblem {
  /** `ns/name`. */
  readonly service: string;
  readonly port: number;
  readonly error: string;
}

export interface HealthCheckLimits {
  /** Time for a request to arrive whole. */
  readonly requestMs: number;
  /** Longest silence of a connection: more than balancers usually wait between two probes. */
  readonly idleMs: number;
  /** Most connections on all ports together; then the one that has been silent longest is closed. */
  readonly connections: number;
}

export interface HealthCheckOptions {
  /** Health of the proxy itself; called at every request. */
  readonly isHealthy: () => boolean;
  /** True while an owner's rules are in the kernel; called at every request. */
  readonly isServed: (owner: string) => boolean;
  /** Called once per Service and error, as long as the port is wanted. */
  readonly onProblem?: (problem: HealthCheckProblem) => void;
  readonly limits?: Partial<HealthCheckLimits>;
  readonly clock?: Clock;
}

const LIMITS: HealthCheckLimits = { requestMs: 5_000, idleMs: 60_000, connections: 1_024 };
const EVERYWHERE: Readonly<Record<IPFamily, string>> = { IPv4: '0.0.0.0', IPv6: '::' };

export class HealthCheckServers {
  readonly #family: IPFamily;
  readonly #options: HealthCheckOptions;
  readonly #limits: HealthCheckLimits;
  readonly #connections: Connections;
  readonly #checks = new Map<string, HealthCheck>();
  /** Health checks by port, of which the first has the port. */
  readonly #claims = new Map<number, readonly HealthCheck[]>();
  /** Listeners by port and address. */
  readonly #listeners = new Map<number, Map<string, HealthListener>>();
  /** Listeners that failed when they last tried to listen. */
  readonly #failing = new Set<HealthListener>();
  /** Error reported of each Service whose port an older one has. */
  readonly #shadowed = new Map<string, string>();
  #addresses: readonly string[] = [];
  #stopped = false;

  constructor(family: IPFamily, options: HealthCheckOptions) {
    this.#family = family;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#connections = new Connections(this.#limits.connections);
  }

  /** Updates ports; call after each successful sync. Costs what changed, or all ports when addresses changed. */
  update(changes: HealthCheckChanges, addresses: NodePortAddresses): void {
    if (this.#stopped) return;
    const touched = new Set<number>();
    for (const [service, check] of changes) {
      for (const port of this.#put(service, check)) touched.add(port);
    }
    const wanted = addresses === 'all' ? [EVERYWHERE[this.#family]] : addresses;
    const haveMoved = !isDeepStrictEqual(wanted, this.#addresses);
    this.#addresses = wanted;
    for (const port of haveMoved ? [...touched, ...this.#claims.keys()] : touched) this.#settle(port);
    for (const listener of this.#failing) listener.retry();
    this.#failing.clear();
  }

  /** Closes all ports and connections, so that balancers use other nodes. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const listeners = [...this.#listeners.values()].flatMap((byAddress) => [...byAddress.values()]);
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  /** Replaces a Service's health check; returns the ports that may have another holder now. */
  #put(service: string, check: HealthCheck | undefined): readonly number[] {
    const former = this.#checks.get(service);
    if (former !== undefined) {
      const others = (this.#claims.get(former.port) ?? []).filter((claim) => claim !== former);
      if (others.length === 0) this.#claims.delete(former.port);
      else this.#claims.set(former.port, others);
    }
    if (check === undefined) {
      this.#checks.delete(service);
      this.#shadowed.delete(service);
    } else {
      this.#checks.set(service, check);
      this.#claims.set(check.port, [...(this.#claims.get(check.port) ?? []), check].sort(byAge));
    }
    return [former, check].flatMap((one) => one?.port ?? []);
  }

  #settle(port: number): void {
    const claims = this.#claims.get(port) ?? [];
    this.#tellShadowed(claims);
    const wanted = claims.length === 0 ? [] : this.#addresses;
    const listeners = this.#listeners.get(port) ?? new Map<string, HealthListener>();
    // unwanted listeners are closed first, as 0.0.0.0 and an address of the node exclude each other
    for (const [address, listener] of listeners) {
      if (wanted.includes(address)) continue;
      void listener.close();
      listeners.delete(address);
    }
    for (const address of wanted) {
      if (!listeners.has(address)) listeners.set(address, this.#open(address, port));
    }
    if (listeners.size === 0) this.#listeners.delete(port);
    else this.#listeners.set(port, listeners);
  }

  #open(address: string, port: number): HealthListener {
    const told = new Set<string>();
    const listener = new HealthListener({
      address,
      port,
      answer: () => this.#answer(port),
      connections: this.#connections,
      requestMs: this.#limits.requestMs,
      idleMs: this.#limits.idleMs,
      clock: this.#options.clock ?? systemClock,
      onError: (error) => {
        this.#failing.add(listener);
        const [holder] = this.#claims.get(port) ?? [];
        if (holder === undefined || told.has(`${holder.service} ${error}`)) return;
        told.add(`${holder.service} ${error}`);
        this.#options.onProblem?.({ service: holder.service, port, error });
      },
    });
    return listener;
  }

  #answer(port: number): Answer | undefined {
    const [holder] = this.#claims.get(port) ?? [];
    if (holder === undefined) return undefined;
    // no endpoint counts while the rules are not in the kernel, so that no traffic is sent here
    const isServed = holder.owners.some((owner) => this.#options.isServed(owner));
    return healthAnswer(isServed ? holder : { ...holder, localEndpoints: 0 }, this.#options.isHealthy());
  }

  #tellShadowed([holder, ...others]: readonly HealthCheck[]): void {
    if (holder === undefined) return;
    this.#shadowed.delete(holder.service);
    for (const { service, port } of others) {
      const error = `health-check node port ${port} belongs to ${holder.service}, which is older`;
      if (this.#shadowed.get(service) === error) continue;
      this.#shadowed.set(service, error);
      this.#options.onProblem?.({ service, port, error });
    }
  }
}

const byAge = (a: HealthCheck, b: HealthCheck): number =>
  a.createdAt - b.createdAt || (a.service < b.service ? -1 : a.service > b.service ? 1 : 0);

/** Response, kube-proxy's to the byte. */
const healthAnswer = ({ service, localEndpoints }: HealthCheck, serviceProxyHealthy: boolean): Answer => {
  const [namespace, name] = service.split('/');
  return {
    status: localEndpoints > 0 && serviceProxyHealthy ? 200 : 503,
    headers: {
      'Content-Type': 'application/json',
      'X-Content-Type-Options': 'nosniff',
      'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
    },
    body: JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }, null, '\t'),
  };
};
