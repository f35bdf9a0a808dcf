/**
 * Graceful termination. A real server that is no longer wanted gets weight 0: it keeps its connections and gets no new
 * one, and is deleted when they have ended, or when nothing has been heard of them for as long as IPVS remembers a silent
 * connection. Weight 0 in the kernel is the only record, so a proxy that restarts goes on where the former one was, and an
 * endpoint that comes back has its weight again with one message (k/k#92019, k/k#108319).
 */
import { deleteDestination, type Ipvs, setDestination } from '../../ipvs-netlink/ipvs.ts';
import type { Destination, ServiceKey } from '../../ipvs-netlink/types.ts';
import type { Failure } from '../../netlink/connection.ts';
import { ERRNO, type NetlinkError } from '../../netlink/error.ts';
import { type RealServer, realServer, serviceFlag } from './objects.ts';

interface Sighting {
  readonly packets: bigint;
  /** Milliseconds of a clock that nobody sets, when that count was new. */
  readonly at: number;
}

/** A real server that the kernel did not let go. */
export interface Undrained {
  readonly object: RealServer;
  readonly error: NetlinkError;
}

/** Only what is not there is as good as gone: who may not be changed gets new connections still. */
const isThere = ({ error }: Failure): boolean => error.errno !== ERRNO.ENOENT && error.errno !== ERRNO.ESRCH;

export class Draining {
  readonly #ipvs: Ipvs;
  readonly #now: () => number;
  readonly #sightings = new Map<string, Sighting>();

  constructor(ipvs: Ipvs, now: () => number = () => performance.now()) {
    this.#ipvs = ipvs;
    this.#now = now;
  }

  /**
   * True for a real server that is to be left alone for now: it has no weight, and connections that still speak.
   */
  holds(service: ServiceKey, destination: Destination): boolean {
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
   * What becomes of a real server at a look at the kernel: whether it counts as there. One that was seen on its way out and
   * is done is deleted here, quietly: it is no drift.
   */
  counts(service: ServiceKey, destination: Destination): boolean {
    const isKnown = this.#sightings.has(realServer(service, destination.key, destination.settings).id);
    if (this.holds(service, destination)) return false;
    if (!isKnown || destination.settings.weight > 0) return true;
    return this.#ipvs.execute([deleteDestination(service, destination.key)]).some(isThere);
  }

  /** These are all that are on their way out: of others, gone with their virtual servers, nothing is to be remembered. */
  remember(leaving: ReadonlySet<string>): void {
    for (const id of this.#sightings.keys()) if (!leaving.has(id)) this.#sightings.delete(id);
  }

  /**
   * Takes real servers out of service; those without connections are deleted at once. Gives those that the kernel refused to
   * change or delete; what is missing is fine.
   */
  drain(servers: readonly RealServer[]): readonly Undrained[] {
    if (servers.length === 0) return [];
    // whoever had a weight until now has not been silent
    for (const { id, settings } of servers) if (settings.weight > 0) this.#sightings.delete(id);
    // first no new connections, then a count: nothing can come in between
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
        return server === undefined || this.holds(service, destination) ? [] : [server];
      }),
    );
    const deletions = this.#ipvs.execute(over.map(({ service, key }) => deleteDestination(service, key)));
    return [...undrained, ...refusedOf(over, deletions)];
  }
}

const refusedOf = (servers: readonly RealServer[], failures: readonly Failure[]): readonly Undrained[] =>
  failures.filter(isThere).flatMap(({ index, error }) => {
    const object = servers[index];
    return object === undefined ? [] : [{ object, error }];
  });
