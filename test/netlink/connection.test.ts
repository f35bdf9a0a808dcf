import { describe, expect, it } from 'vitest';
import { Connection } from '../../src/netlink/connection.ts';
import { type Answer, acknowledge, dial, done, part, refuse } from '../../src/netlink/dial.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';
import { FLAG, type Message, type Request } from '../../src/netlink/message.ts';

const request = (bytes = 8, fill = 0): Request => ({ type: 42, flags: 0, body: Buffer.alloc(bytes, fill) });

/** Answers each message by a function of its place among all. */
const kernel = (respond: (message: Message, index: number) => readonly Answer[]) => {
  const sends: (readonly Message[])[] = [];
  let seen = 0;
  const socket = dial((messages) => {
    sends.push(messages);
    return messages.flatMap((message) => {
      seen += 1;
      return respond(message, seen - 1);
    });
  });
  return { connection: new Connection(socket), sends };
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
    const socket = dial((messages) =>
      messages.flatMap((message) => [
        refuse({ ...message, sequence: message.sequence - 1 }, 1),
        ...acknowledge(message),
      ]),
    );
    const connection = new Connection(socket);
    expect(connection.execute([request()])).toEqual([]);
  });

  it('of which one is too large for the socket are sent without it', () => {
    const socket = dial((messages, datagram) => {
      if (datagram.length > 1_000) throw new NetlinkError(ERRNO.EMSGSIZE, 'send');
      return messages.flatMap(acknowledge);
    });
    const requests = [request(100), request(100), request(5_000), request(100), request(900), request(100)];
    const failures = new Connection(socket).execute(requests);
    expect(failures.map(({ index, error }) => [index, error.errno])).toEqual([[2, ERRNO.EMSGSIZE]]);
  });

  it('whose answers were lost throw, and the next ones go on', () => {
    let isFirst = true;
    const socket = dial((messages) => {
      const wasFirst = isFirst;
      isFirst = false;
      return wasFirst ? [new NetlinkError(ERRNO.ENOBUFS, 'recv')] : messages.flatMap(acknowledge);
    });
    const connection = new Connection(socket);
    expect(() => connection.execute([request()])).toThrow('ENOBUFS');
    expect(connection.execute([request()])).toEqual([]);
  });

  it('that the kernel does not answer throw', () => {
    expect(() => new Connection(dial(() => [])).execute([request()])).toThrow('did not answer');
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
