/**
 * Addresses of the node from rtnetlink, listed once and then kept up to date by notifications. Links without a carrier
 * keep their addresses.
 *
 * Node.js cannot wait for a netlink socket, so it is polled, and all changes between two polls count as one. After an
 * overrun (ENOBUFS) the list is read again, in parts. While rtnetlink is unavailable, the addresses are those of
 * `os.networkInterfaces()`, and rtnetlink is retried.
 */
import { networkInterfaces } from 'node:os';
import type { BaseLogger } from 'pino';
import { NetlinkConnection } from '../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { decodeMessages } from '../netlink/message.ts';
import { getLink, ROUTE_GROUPS, routeChangeOf, visitAddresses } from '../netlink/route.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import { AddressTable, SERVICE_LINK } from './address-table.ts';

/** Two sockets: one for notifications, one for dumps. */
export interface RouteSockets {
  readonly notifications: Socket;
  readonly dumps: Socket;
}

export interface NodeAddressesOptions {
  readonly log: Pick<BaseLogger, 'warn'>;
  /** Called when `addresses` has changed. */
  readonly onChange?: () => void;
  /** Opens the sockets. Throws NetlinkError, or an Error where system calls are unavailable. */
  readonly open?: () => RouteSockets;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

const POLL_MS = 100;
/** Interval of attempts to reopen rtnetlink. */
const RETRY_MS = 5_000;
/** Grace period of a removed address: a carrier or a DHCP lease comes back within seconds. */
export const GRACE_MS = 10_000;
/** Least interval between two dumps, however many overruns there are. */
const LIST_INTERVAL_MS = 1_000;
/** Datagrams read in one turn of the event loop. */
const MAX_DATAGRAMS = 1_000;
const FAMILIES = ['IPv4', 'IPv6'] as const;

const openRouteSockets = (): RouteSockets => {
  const notifications = openSocket(PROTOCOL.ROUTE, { group: ROUTE_GROUPS });
  try {
    return { notifications, dumps: openSocket(PROTOCOL.ROUTE) };
  } catch (error) {
    notifications.close();
    throw error;
  }
};

export class NodeAddresses {
  readonly #options: NodeAddressesOptions;
  readonly #now: () => number;
  readonly #table = new AddressTable(GRACE_MS);
  #sockets: RouteSockets | undefined;
  #timer: NodeJS.Timeout | undefined;
  #published: readonly string[] = [];
  /** Time at which the next dump is due, after an overrun or a failure. */
  #listDueAt: number | undefined;
  #listing: Promise<void> | undefined;
  #listedAt = Number.NEGATIVE_INFINITY;
  #hasWarned = false;
  #isClosed = false;
  #lists = 0;

  private constructor(options: NodeAddressesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Resolves when the addresses are known, from rtnetlink or from Node.js. */
  static async open(options: NodeAddressesOptions): Promise<NodeAddresses> {
    const addresses = new NodeAddresses(options);
    addresses.#openAndList();
    await addresses.#listing;
    addresses.#published = addresses.#table.addresses;
    addresses.#arm(POLL_MS);
    return addresses;
  }

  /**
   * Distinct addresses, sorted, loopback included and those of Services excluded; the same array as long as nothing
   * changes.
   */
  get addresses(): readonly string[] {
    return this.#published;
  }

  /** Number of dumps so far. */
  get lists(): number {
    return this.#lists;
  }

  /** Schedules a dump for the next poll, in case a notification was lost. */
  check(): void {
    this.#listDueAt ??= Math.max(this.#now(), this.#listedAt + LIST_INTERVAL_MS);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#listing;
    this.#closeSockets();
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => {
      const isDone = this.#poll();
      if (!this.#isClosed) this.#arm(isDone ? POLL_MS : 0);
    }, delayMs);
  }

  /** Returns whether all pending notifications were read. */
  #poll(): boolean {
    // notifications that arrive during a dump are applied after it, so that the later state counts
    if (this.#isClosed || this.#listing !== undefined) return true;
    const isDone = this.#drain();
    const now = this.#now();
    if (isDone && this.#listDueAt !== undefined && now >= this.#listDueAt) this.#openAndList();
    this.#table.expire(now);
    this.#publish();
    return isDone;
  }

  #publish(): void {
    const { addresses } = this.#table;
    if (addresses === this.#published) return;
    this.#published = addresses;
    this.#options.onChange?.();
  }

  #drain(): boolean {
    try {
      for (let i = 0; i < MAX_DATAGRAMS; i += 1) {
        const datagram = this.#receive();
        if (datagram === undefined) return true;
        this.#apply(datagram);
      }
      return false;
    } catch (error) {
      this.#failed(error);
      return true;
    }
  }

  #receive(): Buffer | undefined {
    try {
      return this.#sockets?.notifications.receive(0);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOBUFS) throw error;
      this.check();
      return this.#receive();
    }
  }

  #apply(datagram: Buffer): void {
    for (const message of decodeMessages(datagram)) {
      const change = routeChangeOf(message, (index) => this.#table.isServiceLink(index));
      if (change === undefined) continue;
      if (change.of === 'address') {
        if (change.isGone) this.#table.remove(change.index, change.address, this.#now());
        else this.#table.add(change.index, change.address);
      } else if (change.isGone) this.#table.linkGone(change.index, this.#now());
      else if (this.#table.linkNamed(change.index, change.name, this.#now())) this.check();
    }
  }

  /** Opens missing sockets and starts a dump. */
  #openAndList(): void {
    this.#listDueAt = undefined;
    try {
      this.#sockets ??= (this.#options.open ?? openRouteSockets)();
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#listing = this.#list(this.#sockets.dumps)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#listing = undefined;
      });
  }

  async #list(socket: Socket): Promise<void> {
    this.#lists += 1;
    this.#listedAt = this.#now();
    const connection = new NetlinkConnection(socket);
    this.#table.setServiceLink(getLink(connection, SERVICE_LINK)?.index, this.#now());
    const found = new Map<number, Set<string>>();
    let isWhole = true;
    for (const family of FAMILIES) {
      const isServiceLink = (index: number): boolean => this.#table.isServiceLink(index);
      isWhole =
        (await visitAddresses(connection, family, isServiceLink, (index, address) => {
          found.set(index, (found.get(index) ?? new Set()).add(address));
        })) && isWhole;
    }
    // changes during the dump are notified too; of an inconsistent dump only additions are certain, so it is repeated
    if (!isWhole) this.check();
    this.#table.replace(found, this.#now());
  }

  #failed(error: unknown): void {
    if (!this.#hasWarned) {
      const message = error instanceof Error ? error.message : String(error);
      this.#options.log.warn(
        { error: message },
        'addresses of the node are not told by the kernel, looked for instead',
      );
    }
    this.#hasWarned = true;
    this.#closeSockets();
    this.#listDueAt = this.#now() + RETRY_MS;
    this.#table.replace(foundByNodeJs(), this.#now());
  }

  #closeSockets(): void {
    this.#sockets?.notifications.close();
    this.#sockets?.dumps.close();
    this.#sockets = undefined;
  }
}

/** Reads the node's addresses once. */
export const readNodeAddresses = async (log: NodeAddressesOptions['log']): Promise<readonly string[]> => {
  const opened = await NodeAddresses.open({ log });
  await opened.close();
  return opened.addresses;
};

/** Addresses by Node.js, under negative indexes that no link has. */
const foundByNodeJs = (): ReadonlyMap<number, ReadonlySet<string>> =>
  new Map(
    Object.entries(networkInterfaces())
      .filter(([name]) => name !== SERVICE_LINK)
      .map(([, addresses], i) => [-1 - i, new Set((addresses ?? []).map(({ address }) => address))]),
  );
