/**
 * Answers load balancers on the health-check node ports of Services, in one IP family: does this node have an endpoint?
 *
 * One instance a family, as in kube-proxy: a balancer that probes over IPv4 sends over IPv4, and must not be told of
 * endpoints that only IPv6 reaches. IPv6 sockets therefore never take IPv4 connections, and both families hold one port.
 * A Service has its port on all addresses that NodePorts have, follows them when they change, and of two Services with
 * one port the older has it. What cannot be listened on is reported and tried again; everything else goes on.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Clock, systemClock } from '../dataplane/pacer.ts';
import type { IPFamily } from '../model/address.ts';
import type { HealthCheck, HealthCheckChanges } from '../model/health-checks.ts';
import type { NodePortAddresses } from '../model/node.ts';
import { Connections } from './connections.ts';
import { type Answer, HealthListener } from './health-listener.ts';

export interface HealthCheckProblem {
  /** `ns/name`. */
  readonly service: string;
  readonly port: number;
  readonly error: string;
}

export interface HealthCheckLimits {
  /** A request that has not arrived whole by then is given up. */
  readonly requestMs: number;
  /** How long a connection may be silent: longer than balancers usually wait between two probes. */
  readonly idleMs: number;
  /** On all ports together; then the one that has been silent longest makes room. */
  readonly connections: number;
}

export interface HealthCheckOptions {
  /** Of the proxy itself; asked at every request. */
  readonly isHealthy: () => boolean;
  /** Whether what an owner asks for is in the kernel; asked at every request. */
  readonly isServed: (owner: string) => boolean;
  /** Once per Service and error, for as long as the port is wanted. */
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
  /** Port → those who want it; the first has it. */
  readonly #claims = new Map<number, readonly HealthCheck[]>();
  /** Port → address → who listens there. */
  readonly #listeners = new Map<number, Map<string, HealthListener>>();
  /** Could not listen when they last tried, as far as is known: more tries do no harm. */
  readonly #failing = new Set<HealthListener>();
  /** Services without their port, and what was reported of it. */
  readonly #shadowed = new Map<string, string>();
  #addresses: readonly string[] = [];
  #stopped = false;

  constructor(family: IPFamily, options: HealthCheckOptions) {
    this.#family = family;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#connections = new Connections(this.#limits.connections);
  }

  /** Call after each successful sync. Costs what changed; all ports only when the addresses did. */
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

  /** Closes all ports and connections: balancers are to look elsewhere. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const listeners = [...this.#listeners.values()].flatMap((byAddress) => [...byAddress.values()]);
    await Promise.all(listeners.map((listener) => listener.close()));
  }

  /** Gives the ports that may have another holder now. */
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
    // first, as 0.0.0.0 and an address of the node exclude each other
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
    // traffic is not to be lured to rules that are not there, whatever endpoints there are
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

/** The answer is kube-proxy's to the byte: people and balancers have learnt to read it. */
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
