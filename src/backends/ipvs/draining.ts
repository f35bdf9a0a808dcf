/**
 * Graceful termination. A real server that is no longer wanted gets weight 0: it keeps its connections and gets no new
 * one, and is deleted when they have ended, or when nothing has been heard of them for as long as IPVS remembers a silent
 * connection. Weight 0 in the kernel is the only record, so a proxy that restarts goes on where the former one was, and an
 * endpoint that comes back has its weight again with one message (k/k#92019, k/k#108319).
 */
import { deleteDestination, type Ipvs, setDestination } from '../../ipvs-netlink/ipvs.ts';
import type { Destination, ServiceKey } from '../../ipvs-netlink/types.ts';
import { type RealServer, realServer, serviceFlag } from './objects.ts';

interface Sighting {
  readonly packets: bigint;
  /** Milliseconds of the clock when that count was new. */
  readonly at: number;
}

export class Draining {
  readonly #ipvs: Ipvs;
  readonly #now: () => number;
  readonly #sightings = new Map<string, Sighting>();

  constructor(ipvs: Ipvs, now: () => number = Date.now) {
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
    return this.#ipvs.execute([deleteDestination(service, destination.key)]).length > 0;
  }

  /** These are all that are on their way out: of others, gone with their virtual servers, nothing is to be remembered. */
  remember(leaving: ReadonlySet<string>): void {
    for (const id of this.#sightings.keys()) if (!leaving.has(id)) this.#sightings.delete(id);
  }

  /** Takes real servers out of service; those without connections are deleted at once. What is missing is fine. */
  drain(servers: readonly RealServer[]): void {
    if (servers.length === 0) return;
    // whoever had a weight until now has not been silent
    for (const { id, settings } of servers) if (settings.weight > 0) this.#sightings.delete(id);
    // first no new connections, then a count: nothing can come in between
    this.#ipvs.execute(
      servers.map(({ service, key, settings }) => setDestination(service, key, { ...settings, weight: 0 })),
    );
    const leaving = new Set(servers.map(({ id }) => id));
    const services = new Map(servers.map(({ service }) => [serviceFlag(service), service]));
    const over = [...services.values()].flatMap((service) =>
      this.#ipvs
        .destinations(service)
        .filter(({ key, settings }) => leaving.has(realServer(service, key, settings).id))
        .filter((destination) => !this.holds(service, destination))
        .map(({ key }) => deleteDestination(service, key)),
    );
    this.#ipvs.execute(over);
  }
}
