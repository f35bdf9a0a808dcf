/**
 * Who else writes to a table: the kernel tells every change of the ruleset to those who ask (NFNLGRP_NFTABLES).
 *
 * Node cannot wait for a netlink socket, and a thread that does could not be stopped; so the socket is looked at now and
 * then, which costs two system calls. What the writer itself does is not queued at all, or a large load would overrun it.
 */
import { align, isText } from '../netlink/attributes.ts';
import { readU16, readU32 } from '../netlink/bytes.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { MESSAGE_HEADER } from '../netlink/message.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import { FAMILY_NUMBER } from './kernel-expression.ts';
import { MESSAGE, messageType, TABLE } from './messages.ts';
import type { Table } from './schema.ts';

/** enum nfnetlink_groups */
export const GROUP_NFTABLES = 7;

const FAMILY_HEADER = 4;
const NEW_GENERATION = messageType(MESSAGE.NEW_GENERATION);

export class TableWatch {
  readonly #socket: Socket;
  readonly #family: number;
  readonly #name: Buffer;

  constructor(socket: Socket, table: Table) {
    this.#socket = socket;
    this.#family = FAMILY_NUMBER[table.family];
    this.#name = Buffer.from(`${table.name}\0`);
  }

  /** Hears of everything but what the socket of this port does. Throws NetlinkError. */
  static open(table: Table, ownPort: number): TableWatch {
    return new TableWatch(openSocket(PROTOCOL.NETFILTER, { group: GROUP_NFTABLES, ignoredPort: ownPort }), table);
  }

  close(): void {
    this.#socket.close();
  }

  /** Whether somebody else wrote to the table since the last call; also when more was told than could be kept. */
  hasChanged(): boolean {
    let isChanged = false;
    for (;;) {
      try {
        const datagram = this.#socket.receive(0);
        if (datagram === undefined) return isChanged;
        isChanged ||= this.#concerns(datagram);
      } catch (error) {
        if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOBUFS) throw error;
        isChanged = true;
      }
    }
  }

  /** Looks at bytes alone: of what others write to their tables there may be hundreds of thousands of messages at a time. */
  #concerns(datagram: Buffer): boolean {
    for (let at = 0; at + MESSAGE_HEADER + FAMILY_HEADER <= datagram.length; ) {
      const length = readU32(datagram, at);
      if (length < MESSAGE_HEADER || at + length > datagram.length) return false;
      const isOfFamily = datagram[at + MESSAGE_HEADER] === this.#family && readU16(datagram, at + 4) !== NEW_GENERATION;
      // in messages of all kinds the same attribute names the table
      const attributes = { bytes: datagram, from: at + MESSAGE_HEADER + FAMILY_HEADER, to: at + length };
      if (isOfFamily && isText(attributes, TABLE.NAME, this.#name)) return true;
      at += align(length);
    }
    return false;
  }
}
