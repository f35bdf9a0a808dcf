/**
 * Detects writes of other processes to a table, by the kernel's notifications (NFNLGRP_NFTABLES).
 *
 * Node.js cannot wait for a netlink socket, and a thread that waits could not be stopped; so the socket is polled,
 * which costs two system calls. Notifications of the own writer are filtered out in the kernel, as a large load would
 * overrun the socket.
 */
import { align, isText } from '../netlink/attributes.ts';
import { readU16, readU32 } from '../netlink/bytes.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { MESSAGE_HEADER } from '../netlink/message.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import { FAMILY_NUMBER } from './kernel-expression.ts';
import { MESSAGE, messageType, TABLE } from './messages.ts';
import type { Table } from './schema.ts';

/** Group of enum nfnetlink_groups. */
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

  /** Opens a watch that ignores notifications caused by the socket of this port id. Throws NetlinkError. */
  static open(table: Table, ownPort: number): TableWatch {
    return new TableWatch(openSocket(PROTOCOL.NETFILTER, { group: GROUP_NFTABLES, ignoredPort: ownPort }), table);
  }

  close(): void {
    this.#socket.close();
  }

  /** Whether another process wrote to the table since the last call; true also after an overrun (ENOBUFS). */
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

  /** Compares bytes without decoding: writes of other processes may be hundreds of thousands of messages at a time. */
  #concerns(datagram: Buffer): boolean {
    for (let at = 0; at + MESSAGE_HEADER + FAMILY_HEADER <= datagram.length; ) {
      const length = readU32(datagram, at);
      if (length < MESSAGE_HEADER || at + length > datagram.length) return false;
      const isOfFamily = datagram[at + MESSAGE_HEADER] === this.#family && readU16(datagram, at + 4) !== NEW_GENERATION;
      // the table's name is the same attribute in all messages
      const attributes = { bytes: datagram, from: at + MESSAGE_HEADER + FAMILY_HEADER, to: at + length };
      if (isOfFamily && isText(attributes, TABLE.NAME, this.#name)) return true;
      at += align(length);
    }
    return false;
  }
}
