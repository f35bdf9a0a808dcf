/**
 * The addresses of the machine, as rtnetlink lists them and tells of their changes: also those of links without a carrier,
 * which keep theirs.
 *
 * Node cannot wait for a netlink socket, so it is looked at now and then; between two looks any number of changes is one. Where the
 * kernel told more than could be kept the list is read again, part by part. Where netlink cannot be had, the addresses are those that
 * Node.js finds, and netlink is tried again.
 */
import { networkInterfaces } from 'node:os';
import type { BaseLogger } from 'pino';
import { NetlinkConnection } from '../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { decodeMessages } from '../netlink/message.ts';
import { getLink, ROUTE_GROUPS, routeChangeOf, visitAddresses } from '../netlink/route.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import { AddressTable, SERVICE_LINK } from './address-table.ts';

/** One socket that hears, one that asks. */
export interface RouteSockets {
  readonly news: Socket;
  readonly lists: Socket;
}

export interface NodeAddressesOptions {
  readonly log: Pick<BaseLogger, 'warn'>;
  /** `addresses` gives other ones now. */
  readonly onChange?: () => void;
  /** Throws NetlinkError, or Error where system calls cannot be made. */
  readonly open?: () => RouteSockets;
  /** Milliseconds, ever growing. */
  readonly now?: () => number;
}

const POLL_MS = 100;
/** Between two tries to have what netlink refused. */
const RETRY_MS = 5_000;
/** How long an address that went away counts: carriers that come back, and leases that are asked for anew, take seconds. */
export const GRACE_MS = 10_000;
/** Between two lists, however much is told. */
const LIST_INTERVAL_MS = 1_000;
/** So many messages are taken in one turn of the event loop. */
const MAX_DATAGRAMS = 1_000;
const FAMILIES = ['IPv4', 'IPv6'] as const;

const openRouteSockets = (): RouteSockets => {
  const news = openSocket(PROTOCOL.ROUTE, { group: ROUTE_GROUPS });
  try {
    return { news, lists: openSocket(PROTOCOL.ROUTE) };
  } catch (error) {
    news.close();
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
  /** What was heard is not all: the list has to be read, from this time on. */
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

  /** Resolves when the addresses are known, one way or the other. */
  static async open(options: NodeAddressesOptions): Promise<NodeAddresses> {
    const addresses = new NodeAddresses(options);
    addresses.#openAndList();
    await addresses.#listing;
    addresses.#published = addresses.#table.addresses;
    addresses.#arm(POLL_MS);
    return addresses;
  }

  /** Each once and in order, loopback among them; the same array as long as nothing changes. Without those of Services. */
  get addresses(): readonly string[] {
    return this.#published;
  }

  /** How often all were listed, for whoever counts. */
  get lists(): number {
    return this.#lists;
  }

  /** Lists them again with the next look, in case something was not told. */
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

  /** Gives whether all was taken that was told. */
  #poll(): boolean {
    // what is told while the list is read is taken afterwards, so that the later word counts
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
      return this.#sockets?.news.receive(0);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOBUFS) throw error;
      this.check();
      return this.#receive();
    }
  }

  #apply(datagram: Buffer): void {
    for (const message of decodeMessages(datagram)) {
      const news = routeChangeOf(message, (index) => this.#table.isServiceLink(index));
      if (news === undefined) continue;
      if (news.of === 'address') {
        if (news.isGone) this.#table.remove(news.index, news.address, this.#now());
        else this.#table.add(news.index, news.address);
      } else if (news.isGone) this.#table.linkGone(news.index, this.#now());
      else if (this.#table.linkNamed(news.index, news.name, this.#now())) this.check();
    }
  }

  /** Opens what is not open, and lists all. */
  #openAndList(): void {
    this.#listDueAt = undefined;
    try {
      this.#sockets ??= (this.#options.open ?? openRouteSockets)();
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#listing = this.#list(this.#sockets.lists)
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
    // what changed meanwhile was told as well; of a list in pieces only what is there is certain
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
    this.#sockets?.news.close();
    this.#sockets?.lists.close();
    this.#sockets = undefined;
  }
}

/** The addresses of the machine as they are now. */
export const readNodeAddresses = async (log: NodeAddressesOptions['log']): Promise<readonly string[]> => {
  const opened = await NodeAddresses.open({ log });
  await opened.close();
  return opened.addresses;
};

/** By numbers that no link has. */
const foundByNodeJs = (): ReadonlyMap<number, ReadonlySet<string>> =>
  new Map(
    Object.entries(networkInterfaces())
      .filter(([name]) => name !== SERVICE_LINK)
      .map(([, addresses], i) => [-1 - i, new Set((addresses ?? []).map(({ address }) => address))]),
  );
