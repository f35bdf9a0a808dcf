/**
 * Who else writes to a table: the kernel tells every change of the ruleset to those who ask (NFNLGRP_NFTABLES).
 *
 * Node cannot wait for a netlink socket, and a thread that does could not be stopped; so the socket is looked at now and
 * then, which costs two system calls. What the writer itself does is not queued at all, or a large load would overrun it.
 */
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import { decodeMessages } from '../netlink/message.ts';
import { openSocket, PROTOCOL, type Socket } from '../netlink/socket.ts';
import { FAMILY_NUMBER } from './kernel-expression.ts';
import { tableOf } from './listing.ts';
import type { Table } from './schema.ts';

/** enum nfnetlink_groups */
export const GROUP_NFTABLES = 7;

export class TableWatch {
  readonly #socket: Socket;
  readonly #table: Table;

  constructor(socket: Socket, table: Table) {
    this.#socket = socket;
    this.#table = table;
  }

  /** Hears of everything but what the socket of this port does. Throws NetlinkError. */
  static open(table: Table, ownPort: number): TableWatch {
    return new TableWatch(openSocket(PROTOCOL.NETFILTER, { group: GROUP_NFTABLES, deafTo: ownPort }), table);
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

  #concerns(datagram: Buffer): boolean {
    return decodeMessages(datagram).some(
      (message) => message.body[0] === FAMILY_NUMBER[this.#table.family] && tableOf(message) === this.#table.name,
    );
  }
}
