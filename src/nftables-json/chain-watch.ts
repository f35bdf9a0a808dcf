/**
 * Changes of chains in all tables, by any process, from the kernel's notifications (NFNLGRP_NFTABLES). The socket is
 * polled, as in `TableWatch`.
 */
import { decode, getText } from '../netlink/attributes.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { decodeMessages, type Message } from '../netlink/message.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import { delinearize } from './delinearize.ts';
import { FAMILY_NUMBER } from './kernel-expression.ts';
import { CHAIN, MESSAGE, messageType, RULE, TABLE } from './messages.ts';
import type { Family } from './schema.ts';
import { GROUP_NFTABLES } from './watch.ts';

export interface ChainChange {
  readonly family: Family;
  readonly table: string;
  /** Name of the chain; undefined when its whole table was deleted. */
  readonly chain: string | undefined;
  readonly isRemoval: boolean;
  /** Targets of a deleted rule; undefined when the kernel did not show the rule. */
  readonly leadsTo?: readonly string[];
}

const HEADER = 4;
/**
 * Datagrams read in one call, with some tens of messages each: other processes may write hundreds of thousands of
 * messages.
 */
const MAX_DATAGRAMS = 64;
const FAMILIES: ReadonlyMap<number, Family> = new Map(
  Object.entries(FAMILY_NUMBER).map(([family, number]) => [number, family as Family]),
);

/** Attribute with the chain's name, by the kind of message; none = the message is about the table. */
const KINDS: ReadonlyMap<number, { readonly name: number | undefined; readonly isRemoval: boolean }> = new Map([
  [messageType(MESSAGE.NEW_CHAIN), { name: CHAIN.NAME, isRemoval: false }],
  [messageType(MESSAGE.DELETE_CHAIN), { name: CHAIN.NAME, isRemoval: true }],
  [messageType(MESSAGE.NEW_RULE), { name: RULE.CHAIN, isRemoval: false }],
  [messageType(MESSAGE.DELETE_RULE), { name: RULE.CHAIN, isRemoval: true }],
  [messageType(MESSAGE.DELETE_TABLE), { name: undefined, isRemoval: true }],
]);

export class ChainWatch {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Opens a watch. Throws NetlinkError. */
  static open(): ChainWatch {
    return new ChainWatch(openSocket(PROTOCOL.NETFILTER, { group: GROUP_NFTABLES }));
  }

  close(): void {
    this.#socket.close();
  }

  /**
   * Changes since the last call; `undefined` among them after an overrun (ENOBUFS). A very long backlog is continued by
   * the next call. Throws NetlinkError.
   */
  *changes(): Generator<ChainChange | undefined> {
    for (let count = 0; count < MAX_DATAGRAMS; count += 1) {
      let datagram: Buffer | undefined;
      try {
        datagram = this.#socket.receive(0);
      } catch (error) {
        if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOBUFS) throw error;
        yield undefined;
        continue;
      }
      if (datagram === undefined) return;
      for (const message of decodeMessages(datagram)) {
        const change = changeOf(message);
        if (change !== undefined) yield change;
      }
    }
  }
}

const changeOf = ({ type, body }: Message): ChainChange | undefined => {
  const kind = KINDS.get(type);
  const family = FAMILIES.get(body[0] ?? 0);
  if (kind === undefined || family === undefined) return undefined;
  const attributes = decode(body.subarray(HEADER));
  const chain = kind.name === undefined ? undefined : getText(attributes, kind.name);
  const expressions = kind.isRemoval ? attributes.get(RULE.EXPRESSIONS) : undefined;
  return {
    ...{ family, table: getText(attributes, TABLE.NAME), chain, isRemoval: kind.isRemoval },
    ...(type === DELETED_RULE && expressions !== undefined ? { leadsTo: targetsIn(expressions) } : {}),
  };
};

const DELETED_RULE = messageType(MESSAGE.DELETE_RULE);

const targetsIn = (expressions: Buffer): readonly string[] =>
  delinearize(expressions).flatMap((statement) => {
    if ('jump' in statement) return [statement.jump.target];
    return 'goto' in statement ? [statement.goto.target] : [];
  });
