/**
 * The kernel's IP Virtual Server over generic netlink: what `ipvsadm` does, as a library.
 *
 *     const ipvs = Ipvs.open();
 *     const web = { protocol: 'TCP', address: '10.96.0.80', port: 80 } as const;
 *     const failures = ipvs.execute([
 *       newService(web, { ...PLAIN, scheduler: 'lc' }),
 *       newDestination(web, { address: '10.244.1.7', port: 8080 }, MASQUERADE),
 *       newDestination(web, { address: '10.244.2.9', port: 8080 }, { ...MASQUERADE, weight: 3 }),
 *     ]);
 *     for (const { key, activeConnections } of ipvs.destinations(web)) console.log(key.address, activeConnections);
 *     ipvs.execute([setDestination(web, { address: '10.244.1.7', port: 8080 }, { ...MASQUERADE, weight: 0 })]);
 *     ipvs.close();
 *
 * There is no flush, as it would delete virtual servers of other programs.
 */
import type { Attribute } from '../netlink/attributes.ts';
import { NetlinkConnection, type RequestFailure } from '../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { familyId, genericAttributes, genericRequest } from '../netlink/generic.ts';
import { FLAG } from '../netlink/message.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import {
  destinationAttribute,
  familyOfKey,
  readCountedService,
  readDestination,
  readService,
  readTimeouts,
  serviceAttribute,
  timeoutAttributes,
} from './layout.ts';
import type {
  CountedService,
  DestinationKey,
  DestinationSettings,
  IpvsDestination,
  IpvsService,
  ServiceKey,
  ServiceSettings,
  Timeouts,
} from './types.ts';

export type * from './types.ts';

const COMMAND = {
  NEW_SERVICE: 1,
  SET_SERVICE: 2,
  DEL_SERVICE: 3,
  GET_SERVICE: 4,
  NEW_DEST: 5,
  SET_DEST: 6,
  DEL_DEST: 7,
  GET_DEST: 8,
  SET_CONFIG: 12,
  GET_CONFIG: 13,
} as const;

/** One change, as data: `execute` carries it out. */
export interface IpvsOperation {
  readonly command: number;
  readonly attributes: readonly Attribute[];
}

/** Settings of a virtual server: round robin, no persistence. */
export const PLAIN: ServiceSettings = {
  scheduler: 'rr',
  persistenceSeconds: 0,
  isOnePacket: false,
  hasFallback: false,
  hashesPort: false,
};

/** Settings of a real server: NAT, weight 1, no thresholds. */
export const MASQUERADE: DestinationSettings = {
  forwarding: 'masquerade',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
};

/** Creates a virtual server. EEXIST when it exists; ENOENT when the kernel lacks the scheduler. */
export const newService = (key: ServiceKey, settings: ServiceSettings): IpvsOperation => ({
  command: COMMAND.NEW_SERVICE,
  attributes: [serviceAttribute(key, settings)],
});

/** Changes the settings of a virtual server; real servers and connections stay. ESRCH when it does not exist. */
export const setService = (key: ServiceKey, settings: ServiceSettings): IpvsOperation => ({
  command: COMMAND.SET_SERVICE,
  attributes: [serviceAttribute(key, settings)],
});

/** Deletes a virtual server with its real servers. ESRCH when it does not exist. */
export const deleteService = (key: ServiceKey): IpvsOperation => ({
  command: COMMAND.DEL_SERVICE,
  attributes: [serviceAttribute(key)],
});

/** Adds a real server. EEXIST when the virtual server has it; ESRCH when the virtual server does not exist. */
export const newDestination = (
  service: ServiceKey,
  key: DestinationKey,
  settings: DestinationSettings,
): IpvsOperation => ({
  command: COMMAND.NEW_DEST,
  attributes: [serviceAttribute(service), destinationAttribute(key, settings)],
});

/** Changes the settings of a real server. ENOENT when the virtual server lacks it; ESRCH when that does not exist. */
export const setDestination = (
  service: ServiceKey,
  key: DestinationKey,
  settings: DestinationSettings,
): IpvsOperation => ({
  command: COMMAND.SET_DEST,
  attributes: [serviceAttribute(service), destinationAttribute(key, settings)],
});

/** Removes a real server. ENOENT when the virtual server lacks it; ESRCH when that does not exist. */
export const deleteDestination = (service: ServiceKey, key: DestinationKey): IpvsOperation => ({
  command: COMMAND.DEL_DEST,
  attributes: [serviceAttribute(service), destinationAttribute(key)],
});

export class Ipvs {
  readonly #connection: NetlinkConnection;
  readonly #family: number;

  private constructor(connection: NetlinkConnection, family: number) {
    this.#connection = connection;
    this.#family = family;
  }

  /**
   * Opens the family IPVS in this process's network namespace. Throws NetlinkError: ENOENT when module ip_vs is not
   * loaded.
   */
  static open(socket: Socket = openSocket(PROTOCOL.GENERIC)): Ipvs {
    const connection = new NetlinkConnection(socket);
    try {
      return new Ipvs(connection, familyId(connection, 'IPVS'));
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get sent(): NetlinkConnection['sent'] {
    return this.#connection.sent;
  }

  close(): void {
    this.#connection.close();
  }

  /**
   * Executes all operations in order, in as few sends as possible, also after one has failed; returns the failures with
   * their positions. Throws NetlinkError when answers were lost (ENOBUFS): then read back.
   */
  execute(operations: readonly IpvsOperation[]): readonly RequestFailure[] {
    return this.#connection.execute(
      operations.map(({ command, attributes }) => genericRequest(this.#family, command, attributes)),
    );
  }

  /** Lists the virtual servers of both address families. Throws NetlinkError. */
  services(): readonly IpvsService[] {
    return this.#dump(COMMAND.GET_SERVICE, []).map(readService);
  }

  /**
   * Lists the virtual servers of both address families with their counters, in parts; yields to the event loop in
   * between. Nothing else may use this object until it is done. Throws NetlinkError.
   */
  async visitServices(take: (service: CountedService) => void): Promise<void> {
    const request = genericRequest(this.#family, COMMAND.GET_SERVICE, [], FLAG.DUMP);
    await this.#connection.visit(request, (message) => take(readCountedService(genericAttributes(message))));
  }

  /** Lists the real servers of a virtual server; none when it does not exist. Throws NetlinkError. */
  destinations(service: ServiceKey): readonly IpvsDestination[] {
    try {
      const family = familyOfKey(service);
      const found = this.#dump(COMMAND.GET_DEST, [serviceAttribute(service)]);
      return found.map((attributes) => readDestination(attributes, family));
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ERRNO.ESRCH) return [];
      throw error;
    }
  }

  timeouts(): Timeouts {
    const answer = this.#connection.get(genericRequest(this.#family, COMMAND.GET_CONFIG, []));
    return readTimeouts(answer === undefined ? new Map() : genericAttributes(answer));
  }

  /** Sets the time-outs; one of 0 stays unchanged. */
  setTimeouts(timeouts: Timeouts): void {
    this.#connection.run(genericRequest(this.#family, COMMAND.SET_CONFIG, timeoutAttributes(timeouts)));
  }

  #dump(command: number, attributes: readonly Attribute[]): readonly ReadonlyMap<number, Buffer>[] {
    return this.#connection.dump(genericRequest(this.#family, command, attributes, FLAG.DUMP)).map(genericAttributes);
  }
}
