/**
 * Graceful termination. A real server that is no longer wanted gets weight 0: it keeps its connections and gets no new one.
 * It is deleted when its connections have ended, or have sent no packet for IPVS's TCP time-out. Weight 0 in the kernel is
 * the only record: a restarted proxy goes on draining, and an endpoint that returns gets its weight back by one message
 * (k/k#92019, k/k#108319).
 */
import { deleteDestination, type Ipvs, setDestination } from '../../ipvs-netlink/ipvs.ts';
import type { IpvsDestination, ServiceKey } from '../../ipvs-netlink/types.ts';
import type { RequestFailure } from '../../netlink/connection.ts';
import { ERRNO, type NetlinkError } from '../../netlink/error.ts';
import { type RealServer, realServer, serviceFlag } from './objects.ts';

interface Sighting {
  readonly packets: bigint;
  /** Time when this count was new, in milliseconds of a monotonic clock. */
  readonly at: number;
}

/** A real server whose weight change or deletion the kernel refused. */
export interface Undrained {
  readonly object: RealServer;
  readonly error: NetlinkError;
}

/** False for failures that say that the real server is gone. After any other failure it may still get new connections. */
const isThere = ({ error }: RequestFailure): boolean => error.errno !== ERRNO.ENOENT && error.errno !== ERRNO.ESRCH;

export class Draining {
  readonly #ipvs: Ipvs;
  readonly #now: () => number;
  readonly #sightings = new Map<string, Sighting>();

  constructor(ipvs: Ipvs, now: () => number = () => performance.now()) {
    this.#ipvs = ipvs;
    this.#now = now;
  }

  /** True for a real server that drains: its weight is 0, and its connections still send packets. */
  isDraining(service: ServiceKey, destination: IpvsDestination): boolean {
    const { id } = realServer(service, destination.key, destination.settings);
    const isIdle = destination.activeConnections + destination.inactiveConnections === 0;
    if (destination.settings.weight > 0 || isIdle) {
      this.#sightings.delete(id);
      return false;
    }
    const { packetsIn, packetsOut } = destination.traffic;
    const packets = packetsIn + packetsOut;
    const last = this.#sightings.get(id);
    if (last?.packets !== packets) {
      this.#sightings.set(id, { packets, at: this.#now() });
      return true;
    }
    return this.#now() - last.at <= this.#ipvs.timeouts().tcp * 1_000;
  }

  /**
   * Whether a read counts a real server as installed. A server that was seen draining and has drained is deleted here, so
   * that the audit does not report it as drift.
   */
  countsAsPresent(service: ServiceKey, destination: IpvsDestination): boolean {
    const isKnown = this.#sightings.has(realServer(service, destination.key, destination.settings).id);
    if (this.isDraining(service, destination)) return false;
    if (!isKnown || destination.settings.weight > 0) return true;
    return this.#ipvs.execute([deleteDestination(service, destination.key)]).some(isThere);
  }

  /** Keeps the records of these real servers, which are all that drain. Others were deleted with their virtual servers. */
  retain(leaving: ReadonlySet<string>): void {
    for (const id of this.#sightings.keys()) if (!leaving.has(id)) this.#sightings.delete(id);
  }

  /**
   * Drains real servers, and deletes those without connections at once. Returns those that the kernel refused to change or
   * delete. Missing ones are no failure.
   */
  drain(servers: readonly RealServer[]): readonly Undrained[] {
    if (servers.length === 0) return [];
    // records of servers that had a weight until now are stale: their connections were in use
    for (const { id, settings } of servers) if (settings.weight > 0) this.#sightings.delete(id);
    // weight 0 comes first, the count of connections after it: no connection can begin in between
    const weights = this.#ipvs.execute(
      servers.map(({ service, key, settings }) => setDestination(service, key, { ...settings, weight: 0 })),
    );
    const undrained = refusedOf(servers, weights);
    const refused = new Set(undrained.map(({ object }) => object));
    const leaving = new Map(servers.flatMap((server) => (refused.has(server) ? [] : [[server.id, server] as const])));
    const services = new Map(servers.map(({ service }) => [serviceFlag(service), service]));
    const over = [...services.values()].flatMap((service) =>
      this.#ipvs.destinations(service).flatMap((destination) => {
        const server = leaving.get(realServer(service, destination.key, destination.settings).id);
        return server === undefined || this.isDraining(service, destination) ? [] : [server];
      }),
    );
    const deletions = this.#ipvs.execute(over.map(({ service, key }) => deleteDestination(service, key)));
    return [...undrained, ...refusedOf(over, deletions)];
  }
}

const refusedOf = (servers: readonly RealServer[], failures: readonly RequestFailure[]): readonly Undrained[] =>
  failures.filter(isThere).flatMap(({ index, error }) => {
    const object = servers[index];
    return object === undefined ? [] : [{ object, error }];
  });
