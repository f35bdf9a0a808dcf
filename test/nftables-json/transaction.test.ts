/** Transactions over a kernel of the tests' own: what is sent, and what becomes of its answers. */
import { describe, expect, it } from 'vitest';
import { decode, getBe32 } from '../../src/netlink/attributes.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';
import { acknowledge, type FakeAnswer, fakeSocket, refuse } from '../../src/netlink/fake-socket.ts';
import { FLAG, type Message } from '../../src/netlink/message.ts';
import { drop, jump } from '../../src/nftables-json/construct.ts';
import { MESSAGE, messageType } from '../../src/nftables-json/messages.ts';
import { Nftables, TransactionError } from '../../src/nftables-json/nftables.ts';
import type { Command, SetDeclaration } from '../../src/nftables-json/schema.ts';

const BEGIN = 0x10;
const END = 0x11;
const HEADER = 4;
const here = { family: 'ip', table: 't' } as const;
const ports: SetDeclaration = { ...here, name: 'ports', type: 'inet_service' };

const TABLE: Command = { add: { table: { family: 'ip', name: 't' } } };
const SET: Command = { add: { set: ports } };
const RULE: Command = { add: { rule: { ...here, chain: 'c', expr: [jump('nowhere')] } } };
const elements = (count: number): Command => ({
  add: { element: { ...here, name: 'ports', elem: Array.from({ length: count }, (_, i) => i) } },
});

type Respond = (message: Message, index: number) => readonly FakeAnswer[];

/** Answers each message of a send by a function of its place in it; the mark at the begin has number 0. */
const kernel = (respond: Respond = acknowledge) => {
  const sends: (readonly Message[])[] = [];
  const socket = fakeSocket((messages) => {
    sends.push(messages.map((message) => ({ ...message, body: Buffer.from(message.body) })));
    return messages.flatMap(respond);
  });
  return { nftables: new Nftables(new NetlinkConnection(socket)), sends };
};

/** What `run` or `check` throws. */
const failure = (attempt: () => void): unknown => {
  try {
    attempt();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

const refusing =
  (...places: readonly (readonly [number, number])[]): Respond =>
  (message, index) => {
    const [, errno] = places.find(([place]) => place === index) ?? [];
    return errno === undefined ? acknowledge(message) : [refuse(message, errno)];
  };

describe('a transaction', () => {
  it('is one send: its commands in their order between two marks', () => {
    const { nftables, sends } = kernel();
    nftables.run([TABLE, SET, elements(3), RULE]);
    expect(sends.map((messages) => messages.map(({ type }) => type))).toEqual([
      [BEGIN, ...[MESSAGE.NEW_TABLE, MESSAGE.NEW_SET, MESSAGE.NEW_ELEMENT, MESSAGE.NEW_RULE].map(messageType), END],
    ]);
    const sequences = sends.flat().map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.map((_, i) => (sequences[0] ?? 0) + i));
  });

  it('asks for one acknowledgement, of the last command', () => {
    const { nftables, sends } = kernel();
    nftables.run([TABLE, SET, RULE]);
    expect(sends.flat().map(({ flags }) => (flags & FLAG.ACK) !== 0)).toEqual([false, false, false, true, false]);
  });

  it('has marks that name nf_tables, and the generation only where one is expected', () => {
    const { nftables, sends } = kernel();
    nftables.run([TABLE]);
    nftables.run([TABLE], { generation: 0x01020304 });
    const [[plain, , end] = [], [guarded] = []] = sends;
    expect([plain?.body, end?.body].map((body) => body?.toString('hex'))).toEqual(['0000000a', '0000000a']);
    expect(guarded?.body.subarray(0, HEADER).toString('hex')).toBe('0000000a');
    expect(getBe32(decode(guarded?.body.subarray(HEADER) ?? Buffer.alloc(0)), 1)).toBe(0x01020304);
  });

  it('of nothing is not sent', () => {
    const { nftables, sends } = kernel();
    nftables.run([]);
    nftables.check([{ add: { element: { ...here, name: 'ports', elem: [] } } }], { sets: [ports] });
    expect(sends).toEqual([]);
  });

  it('that is only to be checked has no mark at its end, so the kernel forgets it', () => {
    const { nftables, sends } = kernel();
    nftables.check([TABLE, SET], { generation: 5 });
    expect(sends.flat().map(({ type }) => type)).toEqual([
      BEGIN,
      messageType(MESSAGE.NEW_TABLE),
      messageType(MESSAGE.NEW_SET),
    ]);
    expect(sends.flat().at(-1)?.flags).toBe(FLAG.REQUEST | FLAG.CREATE | FLAG.ACK);
  });

  it('may fill sets that exist, if it is told their declarations', () => {
    const { nftables, sends } = kernel();
    expect(() => nftables.run([elements(1)])).toThrow('no set ports is declared');
    expect(sends).toEqual([]);
    nftables.run([elements(1)], { sets: [ports] });
    expect(sends).toHaveLength(1);
  });

  it('with a command that cannot be said is not sent at all', () => {
    const { nftables, sends } = kernel();
    const wrong: Command = { add: { rule: { ...here, chain: 'c', expr: [{ xt: { type: 'unknown', name: 'x' } }] } } };
    expect(() => nftables.run([TABLE, wrong])).toThrow(TypeError);
    expect(sends).toEqual([]);
  });

  it('gives every set an id of its own', () => {
    const { nftables, sends } = kernel();
    nftables.run([SET, { add: { set: { ...ports, name: 'more' } } }]);
    nftables.run([SET]);
    const ids = sends
      .flat()
      .flatMap(({ type, body }) =>
        type === messageType(MESSAGE.NEW_SET) ? [getBe32(decode(body.subarray(HEADER)), 10)] : [],
      );
    expect(new Set(ids).size).toBe(3);
  });
});

describe('a refusal', () => {
  it('names the command by position and text', () => {
    const { nftables } = kernel(refusing([3, ERRNO.ENOENT]));
    const error = failure(() => nftables.run([TABLE, SET, RULE]));
    expect(error).toBeInstanceOf(TransactionError);
    expect(error).toMatchObject({ errno: ERRNO.ENOENT, commands: [2] });
    expect((error as Error).message).toBe('add rule ip t c jump nowhere: ENOENT');
  });

  it('of a command in the middle is known although the last was fine', () => {
    const { nftables } = kernel(refusing([1, ERRNO.EEXIST]));
    expect(failure(() => nftables.run([TABLE, SET, RULE]))).toMatchObject({ errno: ERRNO.EEXIST, commands: [0] });
  });

  it('of several names them all, and speaks of the first', () => {
    const { nftables } = kernel(refusing([2, ERRNO.EBUSY], [3, ERRNO.ENOENT]));
    const error = failure(() => nftables.check([TABLE, SET, RULE]));
    expect(error).toMatchObject({ errno: ERRNO.EBUSY, commands: [1, 2] });
    expect((error as Error).message).toBe('add set ip t ports { type inet_service ; }: EBUSY');
  });

  it('of one message of many names their command, once', () => {
    const { nftables } = kernel(refusing([2, ERRNO.EEXIST], [3, ERRNO.EEXIST], [4, ERRNO.ENOENT]));
    const many = elements(5_000);
    const error = failure(() => nftables.run([TABLE, many, RULE], { sets: [ports] }));
    expect(error).toMatchObject({ commands: [1, 2] });
    expect((error as Error).message.length).toBeLessThan(250);
    expect((error as Error).message).toMatch(/^add element ip t ports \{ 0, 1, 2, .*…: EEXIST$/);
  });

  it.each([ERRNO.EPERM, 85])('of the whole (errno %i) is answered to its begin, and nothing else is', (errno) => {
    const { nftables } = kernel((message, index) => (index === 0 ? [refuse(message, errno)] : []));
    const error = failure(() => nftables.run([TABLE, SET], { generation: 1 }));
    expect(error).toBeInstanceOf(TransactionError);
    expect(error).toMatchObject({ errno, commands: [] });
    expect((error as Error).message).toMatch(/^transaction: /);
  });

  it('leaves the next transaction alone', () => {
    let isRefusing = true;
    const { nftables } = kernel((message, index) => {
      if (isRefusing && index === 1) return [refuse(message, ERRNO.EBUSY)];
      return acknowledge(message);
    });
    expect(failure(() => nftables.run([TABLE, RULE]))).toMatchObject({ errno: ERRNO.EBUSY });
    isRefusing = false;
    nftables.run([TABLE, RULE]);
  });

  it('that comes late, from a transaction given up, is not taken for one of the next', () => {
    let late: readonly FakeAnswer[] = [];
    const { nftables } = kernel((message, index) => {
      const answers = [...late, ...acknowledge(message)];
      late = index === 1 ? [refuse(message, ERRNO.EBUSY)] : [];
      return answers;
    });
    nftables.run([TABLE]);
    nftables.run([TABLE]);
  });
});

describe('an answer that does not come', () => {
  const lost: readonly (readonly [string, Respond, number])[] = [
    ['for want of room', () => [new NetlinkError(ERRNO.ENOBUFS, 'recv')], ERRNO.ENOBUFS],
    ['at all', () => [], ERRNO.ETIMEDOUT],
  ];
  it.each(lost)('%s leaves open what was done: no command is blamed', (_, respond, errno) => {
    const { nftables } = kernel(respond);
    const error = failure(() => nftables.run([{ ...TABLE }, { add: { rule: { ...here, chain: 'c', expr: [drop] } } }]));
    expect(error).toBeInstanceOf(NetlinkError);
    expect(error).toMatchObject({ errno });
  });

  it('because nothing could be sent is told as that', () => {
    const socket = fakeSocket(() => {
      throw new NetlinkError(ERRNO.EMSGSIZE, 'send');
    });
    const error = failure(() => new Nftables(new NetlinkConnection(socket)).run([TABLE]));
    expect(error).toMatchObject({ name: 'NetlinkError', errno: ERRNO.EMSGSIZE });
  });
});
