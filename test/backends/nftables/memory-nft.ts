/**
 * nf_tables in memory behind netlink: transactions and listings as a kernel does them, failures on demand.
 *
 * Everything goes through messages, what others do included, so the code under test runs unchanged.
 */
import type { KernelSockets } from '../../../src/backends/nftables/kernel-sockets.ts';
import { declarations, type NftFamily, TABLE } from '../../../src/backends/nftables/names.ts';
import { decode, decodeList } from '../../../src/netlink/attributes.ts';
import { readU16, writeU16 } from '../../../src/netlink/bytes.ts';
import { NetlinkConnection } from '../../../src/netlink/connection.ts';
import { NetlinkError } from '../../../src/netlink/error.ts';
import { acknowledge, type FakeAnswer, fakeSocket, refuse } from '../../../src/netlink/fake-socket.ts';
import { FLAG, type Message } from '../../../src/netlink/message.ts';
import type { Socket } from '../../../src/netlink/socket.ts';
import { bareKeyOf, decodeElement, elementFormat } from '../../../src/nftables-json/elements.ts';
import { FAMILY_NUMBER } from '../../../src/nftables-json/kernel-expression.ts';
import { ELEMENTS, MESSAGE, messageType } from '../../../src/nftables-json/messages.ts';
import { Nftables } from '../../../src/nftables-json/nftables.ts';
import type { Command, SetDeclaration } from '../../../src/nftables-json/schema.ts';
import { formatExpression } from '../../../src/nftables-json/text.ts';
import { answerTo } from './memory-dumps.ts';
import { Tables, tableNameIn } from './memory-tables.ts';

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const ERESTART = 85;
/** Of a message's header. */
const FLAGS_OFFSET = 6;

/** A transaction that goes wrong. */
export type Fault =
  /** Refused as a whole. */
  | { readonly as: 'whole'; readonly errno: number }
  /** Refused at its first message. */
  | { readonly as: 'message'; readonly errno: number }
  /** Done, and the answer is lost; or lost before it is done. */
  | { readonly as: 'answer'; readonly errno: number; readonly isDone: boolean };

/** A transaction that was carried out. */
export interface Transaction {
  /** Of the socket that it came from. */
  readonly port: number;
  /** What its messages do, as in MESSAGE. */
  readonly messages: readonly { readonly does: number; readonly elements: number }[];
}

export class MemoryNft {
  readonly transactions: Transaction[] = [];
  /** Asked before each transaction. */
  fault: (port: number) => Fault | undefined = () => undefined;
  /** Asked of each message; gives an errno, 0 for yes. */
  refuses: (message: Message) => number = () => 0;
  /** Called at each border between two transactions. */
  onCommit: () => void = () => undefined;
  /** Called before a list is made. */
  onList: (message: Message) => void = () => undefined;
  /** So many transactions that remove chains are told that these are in use. */
  busyTries = 0;
  /** So many lists of elements lack their first part, and say that they are not whole. */
  tornLists = 0;
  /** How many lists of chains lack some, as somebody writes to another table meanwhile. */
  tornChains = 0;
  generation = 1;
  readonly #tables = new Tables();
  readonly #watches = new Set<{ readonly family: number; readonly ignoredPort: number; isChanged: boolean }>();
  #ports = 4_000;

  open(): Socket {
    this.#ports += 1;
    const port = this.#ports;
    return { ...fakeSocket((messages) => this.#respond(messages, port)), port };
  }

  /** For a program that starts now. */
  sockets(): KernelSockets {
    // a list is read with a rest behind each of its parts
    const connect = (): Nftables => new Nftables(new NetlinkConnection(this.open(), { turnMs: 0 }));
    const writer = connect();
    return { writer, openReader: connect, openWatch: (family) => this.#watch(FAMILY_NUMBER[family], writer.port) };
  }

  /** What somebody else does. */
  run(commands: readonly Command[], sets: readonly SetDeclaration[] = []): void {
    const { writer } = this.sockets();
    const ours = (['ip', 'ip6'] as const).flatMap((family) => declarations(family));
    const [command] = commands;
    const family = command === undefined ? 'ip' : familyOf(command);
    writer.run(commands, { sets: [...ours.filter((set) => set.family === family), ...sets] });
  }

  /** Elements of a set of our table, in bytes. */
  contents(family: NftFamily, set: string): readonly Buffer[] {
    const table = this.#tables.tables.get(`${FAMILY_NUMBER[family]} ${TABLE}`);
    return [...(table?.sets.get(set)?.elements.values() ?? [])].map(({ content }) => content);
  }

  /** Packets come that are found in a set that counts, by this element: `10.96.0.1 . tcp . 80`. */
  count(declaration: SetDeclaration, key: string, packets: number, bytes: number): void {
    const { family, name } = declaration;
    const set = this.#tables.tables.get(`${FAMILY_NUMBER[family]} ${TABLE}`)?.sets.get(name);
    const found = [...(set?.elements.values() ?? [])].find(({ content }) => {
      const element = decodeElement(elementFormat(declaration), content);
      return element !== undefined && formatExpression(bareKeyOf(element)) === key;
    });
    if (found === undefined) throw new Error(`${name} has no element ${key}`);
    found.counted.packets += packets;
    found.counted.bytes += bytes;
  }

  #watch(family: number, ignoredPort: number): ReturnType<KernelSockets['openWatch']> {
    const watch = { family, ignoredPort, isChanged: false };
    this.#watches.add(watch);
    return {
      hasChanged: () => {
        const { isChanged } = watch;
        watch.isChanged = false;
        return isChanged;
      },
      close: () => this.#watches.delete(watch),
    };
  }

  #respond(messages: readonly Message[], port: number): readonly FakeAnswer[] {
    const [first] = messages;
    if (first?.type === BATCH_BEGIN) return this.#batch(first, messages.slice(1), port);
    return messages.flatMap((message) => {
      const isList = message.type === messageType(MESSAGE.GET_ELEMENT);
      if (isList) this.onList(message);
      const answers = answerTo(this.#tables.tables, this.generation, message);
      if (isChains(message) && this.tornChains > 0) {
        this.tornChains -= 1;
        return answers.slice(this.tornChains % 2 === 0 ? 3 : -3).map(torn);
      }
      if (!isList || this.tornLists === 0) return answers;
      this.tornLists -= 1;
      return answers.slice(-1).map(torn);
    });
  }

  #batch(begin: Message, rest: readonly Message[], port: number): readonly FakeAnswer[] {
    const fault = this.fault(port);
    if (fault?.as === 'whole') return [refuse(begin, fault.errno)];
    const wanted = decode(begin.body.subarray(4)).get(1)?.readUInt32BE(0);
    if (wanted !== undefined && wanted !== this.generation) return [refuse(begin, ERESTART)];
    const isFinal = rest.at(-1)?.type === BATCH_END;
    const messages = rest.filter(({ type }) => type !== BATCH_END);
    if (fault?.as === 'answer' && !fault.isDone) return [new NetlinkError(fault.errno, 'recv')];
    const { answers, isRefused } = this.#carryOut(messages, fault?.as === 'message' ? fault.errno : 0);
    if (isRefused || !isFinal) this.#tables.rollback();
    else this.#commit(messages, port);
    return fault?.as === 'answer' ? [new NetlinkError(fault.errno, 'recv')] : answers;
  }

  /** All messages are looked at, also behind one that is refused. */
  #carryOut(messages: readonly Message[], errno: number): { answers: readonly FakeAnswer[]; isRefused: boolean } {
    const isRemoval = messages.some(({ type }) => type === messageType(MESSAGE.DELETE_CHAIN));
    this.#tables.keepsChains = isRemoval && this.busyTries > 0;
    if (isRemoval && this.busyTries > 0) this.busyTries -= 1;
    const errnos: number[] = messages.map(
      (message, i) => (i === 0 && errno !== 0 ? errno : this.refuses(message)) || this.#tables.take(message),
    );
    if (!errnos.some((one) => one !== 0)) errnos[errnos.length - 1] = this.#tables.validate();
    const answers = messages.flatMap((message, i): readonly FakeAnswer[] => {
      const refused = errnos[i] ?? 0;
      return refused === 0 ? acknowledge(message) : [refuse(message, refused)];
    });
    return { answers, isRefused: errnos.some((one) => one !== 0) };
  }

  #commit(messages: readonly Message[], port: number): void {
    this.#tables.commit();
    this.generation += 1;
    this.transactions.push({
      port,
      messages: messages.map(({ type, body }) => ({ does: type & 0xff, elements: elementsIn(type, body) })),
    });
    for (const watch of this.#watches) {
      const isConcerned = messages.some(({ body }) => body[0] === watch.family && tableNameIn(body) === TABLE);
      if (isConcerned && watch.ignoredPort !== port) watch.isChanged = true;
    }
    this.onCommit();
  }
}

const isChains = ({ type, flags }: Message): boolean =>
  type === messageType(MESSAGE.GET_CHAIN) && (flags & FLAG.DUMP) === FLAG.DUMP;

const torn = (answer: FakeAnswer): FakeAnswer => {
  if (Buffer.isBuffer(answer)) writeU16(answer, readU16(answer, FLAGS_OFFSET) | FLAG.DUMP_INTR, FLAGS_OFFSET);
  return answer;
};

const elementsIn = (type: number, body: Buffer): number => {
  const does = type & 0xff;
  if (does !== MESSAGE.NEW_ELEMENT && does !== MESSAGE.DELETE_ELEMENT) return 0;
  return decodeList(decode(body.subarray(4)).get(ELEMENTS.LIST) ?? Buffer.alloc(0)).length;
};

const familyOf = (command: Command): string => {
  const declared = 'add' in command ? command.add : 'delete' in command ? command.delete : command.flush;
  return Object.values(declared)[0]?.family ?? 'ip';
};
