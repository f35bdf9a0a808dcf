import { describe, expect, it } from 'vitest';
import { NetlinkConnection, type NetlinkConnectionOptions } from '../../src/netlink/connection.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';
import { acknowledge, done, type FakeAnswer, fakeSocket, part, refuse } from '../../src/netlink/fake-socket.ts';
import { decodeMessages, encodeMessage, errnoOf, FLAG, type Message, type Request } from '../../src/netlink/message.ts';
import { openSocket, PROTOCOL } from '../../src/netlink/socket.ts';

const request = (bytes = 8, fill = 0): Request => ({ type: 42, flags: 0, body: Buffer.alloc(bytes, fill) });

const dumpRequest = (sequence: number): Buffer => {
  const datagram = Buffer.alloc(24);
  encodeMessage(datagram, 0, request(), sequence, FLAG.DUMP);
  return datagram;
};

/** Answers each message by a function of its place among all. */
const kernel = (
  respond: (message: Message, index: number) => readonly FakeAnswer[],
  options: NetlinkConnectionOptions = {},
) => {
  const sends: (readonly Message[])[] = [];
  let seen = 0;
  const socket = fakeSocket((messages) => {
    sends.push(messages);
    return messages.flatMap((message) => {
      seen += 1;
      return respond(message, seen - 1);
    });
  });
  return { connection: new NetlinkConnection(socket, options), sends };
};

describe('many requests', () => {
  it('go in one send, of which the last alone asks for an acknowledgement', () => {
    const { connection, sends } = kernel(acknowledge);
    expect(connection.execute([request(), request(), request()])).toEqual([]);
    expect(sends.map((messages) => messages.map(({ flags }) => flags & FLAG.ACK))).toEqual([[0, 0, FLAG.ACK]]);
    expect(connection.sent).toEqual({ sends: 1, messages: 3 });
  });

  it('are split where a send would become too long', () => {
    const { connection, sends } = kernel(acknowledge);
    expect(connection.execute(Array.from({ length: 9 }, () => request(30_000)))).toEqual([]);
    expect(sends.map((messages) => messages.length)).toEqual([4, 4, 1]);
  });

  it('tell which of them failed; the others are done', () => {
    const { connection } = kernel((message, i) =>
      i === 2 || i === 6 ? [refuse(message, i === 2 ? ERRNO.EEXIST : ERRNO.ENOENT)] : acknowledge(message),
    );
    const failures = connection.execute(Array.from({ length: 7 }, () => request(40_000)));
    expect(failures.map(({ index, error }) => [index, error.message])).toEqual([
      [2, 'EEXIST'],
      [6, 'ENOENT'],
    ]);
  });

  it('are not confused by answers to what was asked before', () => {
    const socket = fakeSocket((messages) =>
      messages.flatMap((message) => [
        refuse({ ...message, sequence: message.sequence - 1 }, 1),
        ...acknowledge(message),
      ]),
    );
    const connection = new NetlinkConnection(socket);
    expect(connection.execute([request()])).toEqual([]);
  });

  it('of which one is too large for the socket are sent without it', () => {
    const socket = fakeSocket((messages, datagram) => {
      if (datagram.length > 1_000) throw new NetlinkError(ERRNO.EMSGSIZE, 'send');
      return messages.flatMap(acknowledge);
    });
    const requests = [request(100), request(100), request(5_000), request(100), request(900), request(100)];
    const failures = new NetlinkConnection(socket).execute(requests);
    expect(failures.map(({ index, error }) => [index, error.errno])).toEqual([[2, ERRNO.EMSGSIZE]]);
  });

  it('whose answers were lost throw, and the next ones go on', () => {
    let isFirst = true;
    const socket = fakeSocket((messages) => {
      const wasFirst = isFirst;
      isFirst = false;
      return wasFirst ? [new NetlinkError(ERRNO.ENOBUFS, 'recv')] : messages.flatMap(acknowledge);
    });
    const connection = new NetlinkConnection(socket);
    expect(() => connection.execute([request()])).toThrow('ENOBUFS');
    expect(connection.execute([request()])).toEqual([]);
  });

  it('that the kernel does not answer throw', () => {
    expect(() => new NetlinkConnection(fakeSocket(() => [])).execute([request()])).toThrow('did not answer');
  });
});

describe('one request', () => {
  it('gives its answer', () => {
    const { connection } = kernel((message) => [part(message, 7, Buffer.from('answer!!')), ...acknowledge(message)]);
    expect(connection.get(request())).toMatchObject({ type: 7, body: Buffer.from('answer!!') });
  });

  it('throws what the kernel said', () => {
    const { connection } = kernel((message) => [refuse(message, ERRNO.ENODEV)]);
    expect(() => connection.get(request())).toThrow(NetlinkError);
    expect(() => connection.run(request())).toThrow('ENODEV');
  });
});

describe('a list', () => {
  const parts = (message: Message, flags = 0) => [
    Buffer.concat([part(message, 7, Buffer.from('one!')), part(message, 7, Buffer.from('two!'), flags)]),
    part(message, 7, Buffer.from('three!!!')),
    done(message),
  ];

  it('is put together from its parts', () => {
    const { connection, sends } = kernel((message) => parts(message));
    expect(connection.dump(request()).map(({ body }) => body.toString())).toEqual(['one!', 'two!', 'three!!!']);
    expect((sends[0]?.[0]?.flags ?? 0) & FLAG.DUMP).toBe(FLAG.DUMP);
  });

  it('that changed while it was read is read again', () => {
    const { connection, sends } = kernel((message, i) => parts(message, i < 2 ? FLAG.DUMP_INTR : 0));
    expect(connection.dump(request())).toHaveLength(3);
    expect(sends).toHaveLength(3);
  });

  it('that never stands still is given up', () => {
    const { connection } = kernel((message) => parts(message, FLAG.DUMP_INTR));
    expect(() => connection.dump(request())).toThrow('changes faster');
  });

  it('is read again after an interruption, and throws what else ends it', () => {
    const again = kernel((message, i) => (i === 0 ? [done(message, ERRNO.EINTR)] : parts(message)));
    expect(again.connection.dump(request())).toHaveLength(3);
    const fails = kernel((message) => [done(message, ERRNO.EPERM)]);
    expect(() => fails.connection.dump(request())).toThrow('EPERM');
  });
});

describe('a list that is read with rests', () => {
  const parts = (message: Message) => [part(message, 7, Buffer.from('one!')), part(message, 7, Buffer.from('two!'))];
  const slow = (
    respond: (message: Message, i: number) => readonly FakeAnswer[] = (message) => [...parts(message), done(message)],
  ) => kernel(respond, { turnMs: 0 });

  it('gives way to others between its parts, and is whole', async () => {
    const { connection } = slow();
    const seen: string[] = [];
    const reading = connection.visit(request(), ({ body }) => seen.push(body.toString()));
    expect(seen).toEqual(['one!']);
    expect(await reading).toBe(true);
    expect(seen).toEqual(['one!', 'two!']);
  });

  it.each([
    ['a write', (connection: NetlinkConnection) => connection.execute([request()])],
    ['a transaction', (connection: NetlinkConnection) => connection.batch(request(), [request()], request())],
    ['a question', (connection: NetlinkConnection) => connection.get(request())],
    ['a list', (connection: NetlinkConnection) => connection.dump(request())],
    ['another such list', (connection: NetlinkConnection) => connection.visit(request(), () => undefined)],
  ])('lets nobody else use the connection: %s throws at once, and nothing is sent', async (_, use) => {
    const { connection, sends } = slow();
    const reading = connection.visit(request(), () => undefined);
    await expect((async () => use(connection))()).rejects.toThrow('used while a list was read');
    expect(sends).toHaveLength(1);
    expect(await reading).toBe(true);
  });

  it('is read again where it changed meanwhile, and is given up where it never stands still', async () => {
    const text = ({ body }: Message): readonly string[] => [body.toString()];
    const again = slow((message, i) => [...parts(message), done(message, i === 0 ? ERRNO.EINTR : 0)]);
    expect(await again.connection.list(request(), text)).toEqual(['one!', 'two!']);
    expect(again.sends).toHaveLength(2);
    const never = slow((message) => [...parts(message), done(message, ERRNO.EINTR)]);
    await expect(never.connection.list(request(), text)).rejects.toThrow('changes faster');
  });

  it('frees the connection when it has ended, however it did', async () => {
    let isFirst = true;
    const { connection } = slow((message) => {
      if (!isFirst) return acknowledge(message);
      isFirst = false;
      return [...parts(message), done(message, ERRNO.EPERM)];
    });
    await expect(connection.visit(request(), () => undefined)).rejects.toThrow('EPERM');
    expect(connection.execute([request()])).toEqual([]);
  });
});

describe('a socket', () => {
  it('in tests has one list at a time, as the kernel’s do: the second gets EBUSY', async () => {
    const socket = fakeSocket((messages) =>
      messages.flatMap((message) => [part(message, 7, Buffer.alloc(4)), done(message)]),
    );
    const reading = new NetlinkConnection(socket, { turnMs: 0 }).visit(request(), () => undefined);
    socket.send(dumpRequest(500));
    await reading;
    expect(decodeMessages(socket.receive(0) ?? Buffer.alloc(0)).map(errnoOf)).toEqual([ERRNO.EBUSY]);
    expect(new NetlinkConnection(socket, { sequence: 600 }).dump(request())).toHaveLength(1);
  });

  it.each([
    ['in tests', () => fakeSocket((messages) => messages.flatMap(acknowledge))],
    ['of this machine', () => openSocket(PROTOCOL.ROUTE)],
  ])('%s that was closed neither sends nor receives: its number may be another’s by then', (_, open) => {
    const socket = open();
    socket.close();
    expect(() => socket.send(Buffer.alloc(16))).toThrow('EBADF');
    expect(() => socket.receive(0)).toThrow('EBADF');
    expect(() => new NetlinkConnection(socket).execute([request()])).toThrow('the socket is closed');
    socket.close();
  });
});

describe('sequence numbers', () => {
  const LAST = 2 ** 32 - 1;

  it.each([1, 2, 3, 4, 5])(
    'begin anew behind the last of 32 bits, and answers find their requests: %i before it',
    (n) => {
      const { connection, sends } = kernel(
        (message, i) => (i === 3 ? [refuse(message, ERRNO.ENOENT)] : acknowledge(message)),
        { sequence: LAST - n },
      );
      const failures = connection.execute(Array.from({ length: 6 }, () => request()));
      expect(failures.map(({ index }) => index)).toEqual([3]);
      const numbers = sends.flat().map(({ sequence }) => sequence);
      expect(numbers).toEqual(Array.from({ length: 6 }, (_, i) => ((LAST - n + i) % LAST) + 1));
      expect(numbers).not.toContain(0);
      expect(connection.execute([request()])).toEqual([]);
    },
  );

  it('of a transaction that passes the limit tell which message was refused', () => {
    const { connection } = kernel((message, i) => (i === 2 ? [refuse(message, ERRNO.EEXIST)] : acknowledge(message)), {
      sequence: LAST - 2,
    });
    const refused = connection.batch(request(), [request(), request(), request()], request());
    expect(refused?.failures.map(({ index }) => index)).toEqual([1]);
  });

  it('of a list, and of a question, may be the first after the limit', async () => {
    const list = kernel((message) => [part(message, 7, Buffer.from('one!')), done(message)], { sequence: LAST });
    expect(list.connection.dump(request())).toHaveLength(1);
    const visited = kernel((message) => [part(message, 7, Buffer.from('one!')), done(message)], { sequence: LAST });
    expect(await visited.connection.visit(request(), () => undefined)).toBe(true);
    const one = kernel((message) => [part(message, 7, Buffer.from('one!')), ...acknowledge(message)], {
      sequence: LAST,
    });
    expect(one.connection.get(request())?.body.toString()).toBe('one!');
  });

  it('of none, as notifications have, are nobody’s answer', () => {
    const socket = fakeSocket((messages) =>
      messages.flatMap((message) => [refuse({ ...message, sequence: 0 }, ERRNO.EPERM), ...acknowledge(message)]),
    );
    expect(new NetlinkConnection(socket, { sequence: LAST }).execute([request()])).toEqual([]);
  });
});
