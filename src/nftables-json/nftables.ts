/**
 * nf_tables over netlink: transactions, and tables read back (linux/netfilter/nf_tables.h, kernel 5.13 and newer).
 *
 * A transaction is one send, done as a whole or not at all. Its cost depends on its own size and not on the ruleset's:
 * no program is run and nothing is listed first.
 */
import type { Attribute } from '../netlink/attributes.ts';
import { be32, encode, sizeOf } from '../netlink/attributes.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import type { NetlinkError } from '../netlink/error.ts';
import type { Request } from '../netlink/message.ts';
import { openSocket, PROTOCOL } from '../netlink/socket.ts';
import { generation, listTable, type TableListing, visitElements, visitTable } from './listing.ts';
import { type FindSet, messagesOf } from './messages.ts';
import type { Command, Element, Family, SetDeclaration } from './schema.ts';
import { formatCommand } from './text.ts';

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const BATCH_GENERATION = 1;
/** Subsystem in the batch header. */
const NF_TABLES = 10;

/** Error of a refused transaction, of which nothing is done. */
export class TransactionError extends Error {
  override readonly name = 'TransactionError';
  /** errno(3) of the first refused command. */
  readonly errno: number;
  /** Positions of the refused commands; none when the transaction as a whole was refused. */
  readonly commands: readonly number[];

  constructor(errno: number, message: string, commands: readonly number[]) {
    super(message);
    this.errno = errno;
    this.commands = commands;
  }
}

export interface TransactionOptions {
  /** Generation at which the ruleset must still be; refused with ERESTART otherwise. */
  readonly generation?: number;
  /** Declarations of existing sets; those that the transaction adds are known anyway. */
  readonly sets?: Iterable<SetDeclaration>;
}

export class Nftables {
  readonly #connection: NetlinkConnection;
  #nextId = 0;

  /** Opens a socket in this process's network namespace. Throws NetlinkError. */
  static open(): Nftables {
    return new Nftables(new NetlinkConnection(openSocket(PROTOCOL.NETFILTER)));
  }

  constructor(connection: NetlinkConnection) {
    this.#connection = connection;
  }

  /** Port id by which a watch ignores what is written here. */
  get port(): number {
    return this.#connection.port;
  }

  close(): void {
    this.#connection.close();
  }

  /** Executes all commands in this order, or none. Throws TransactionError. */
  run(commands: readonly Command[], options: TransactionOptions = {}): void {
    this.#send(commands, options, true);
  }

  /** Has the kernel check all commands without executing them. Throws TransactionError. */
  check(commands: readonly Command[], options: TransactionOptions = {}): void {
    this.#send(commands, options, false);
  }

  /**
   * Reads the table as one consistent state, without elements of sets; undefined when there is none. Throws
   * NetlinkError.
   */
  list(family: Family, table: string): TableListing | undefined {
    return listTable(this.#connection, family, table);
  }

  /** Reads the same as `list` and yields to the event loop in between, as for `visit`: other tables may be large. */
  visitTable(family: Family, table: string): Promise<TableListing | undefined> {
    return visitTable(this.#connection, family, table);
  }

  /**
   * Dumps the elements of a set that `list` returned, in parts; yields to the event loop in between. Nothing else may
   * use this object until it is done. Returns whether the dump was consistent. Throws NetlinkError.
   */
  visit(set: SetDeclaration, take: (element: Element) => void): Promise<boolean> {
    return visitElements(this.#connection, set, take);
  }

  /** Generation of the ruleset. Throws NetlinkError. */
  generation(): number {
    return generation(this.#connection);
  }

  #send(commands: readonly Command[], { generation: expected, sets }: TransactionOptions, isFinal: boolean): void {
    const findSet = finder(commands, sets ?? []);
    const requests: Request[] = [];
    const origins: number[] = [];
    for (const [i, command] of commands.entries()) {
      for (const one of messagesOf(command, findSet, () => ++this.#nextId)) {
        requests.push(one);
        origins.push(i);
      }
    }
    if (requests.length === 0) return;
    const begin = batchMark(BATCH_BEGIN, expected === undefined ? [] : [be32(BATCH_GENERATION, expected)]);
    const end = isFinal ? batchMark(BATCH_END, []) : undefined;
    const refused = this.#connection.batch(begin, requests, end);
    if (refused !== undefined) throw explain(refused, commands, origins);
  }
}

const batchMark = (type: number, attributes: readonly Attribute[]): Request => {
  const body = Buffer.alloc(4 + sizeOf(attributes));
  body.writeUInt16BE(NF_TABLES, 2);
  encode(body, 4, attributes);
  return { type, flags: 0, body };
};

const finder = (commands: readonly Command[], known: Iterable<SetDeclaration>): FindSet => {
  const sets = new Map([...known].map((set) => [set.name, set]));
  for (const command of commands) {
    if (!('add' in command)) continue;
    if ('set' in command.add) sets.set(command.add.set.name, command.add.set);
    if ('map' in command.add) sets.set(command.add.map.name, command.add.map);
  }
  return (name) => {
    const set = sets.get(name);
    if (set === undefined) throw new TypeError(`no set ${name} is declared`);
    return set;
  };
};

/** Characters of a command in an error message: long lists of elements would hide the rest. */
const MAX_TEXT = 200;

const explain = (
  { error, failures }: { readonly error: NetlinkError; readonly failures: readonly { readonly index: number }[] },
  commands: readonly Command[],
  origins: readonly number[],
): TransactionError => {
  const refused = [...new Set(failures.flatMap(({ index }) => origins[index] ?? []))];
  const [first] = refused;
  const command = first === undefined ? undefined : commands[first];
  const text = command === undefined ? 'transaction' : formatCommand(command);
  const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return new TransactionError(error.errno, `${shown}: ${error.message}`, refused);
};
