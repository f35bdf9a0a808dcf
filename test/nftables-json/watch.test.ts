import { describe, expect, it } from 'vitest';
import { encode, sizeOf, text } from '../../src/netlink/attributes.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';
import { encodeMessage, messageLength, type Request } from '../../src/netlink/message.ts';
import { FAMILY_NUMBER } from '../../src/nftables-json/kernel-expression.ts';
import { MESSAGE, messageType, request } from '../../src/nftables-json/messages.ts';
import type { Table } from '../../src/nftables-json/schema.ts';
import { TableWatch } from '../../src/nftables-json/watch.ts';

const OURS: Table = { family: 'ip', name: 'ours' };

/** What the kernel tells of a change: the table's name is the first attribute of whatever was changed. */
const notice = (number: number, { family, name }: Table): Request => request(number, family, 0, [text(1, name)]);

/** At the end of a transaction: the number of the generation, and who wrote it. */
const newGeneration = (): Request => {
  const attributes = [text(1, 'ours')];
  const body = Buffer.alloc(4 + sizeOf(attributes));
  body[0] = FAMILY_NUMBER.ip;
  encode(body, 4, attributes);
  return { type: messageType(MESSAGE.NEW_GENERATION), flags: 0, body };
};

const datagram = (...requests: readonly Request[]): Buffer => {
  const bytes = Buffer.alloc(requests.reduce((sum, one) => sum + messageLength(one), 0));
  let at = 0;
  for (const one of requests) at = encodeMessage(bytes, at, one, 0, 0);
  return bytes;
};

/** A watch that hears these datagrams, or errors of recv(2), and then nothing. */
const watching = (...heard: readonly (Buffer | NetlinkError)[]) => {
  const waiting = [...heard];
  const state = { isOpen: true, heard: waiting };
  const watch = new TableWatch(
    {
      send: () => undefined,
      receive: () => {
        const next = waiting.shift();
        if (next instanceof NetlinkError) throw next;
        return next;
      },
      close: () => {
        state.isOpen = false;
      },
      port: 1,
    },
    OURS,
  );
  return { watch, state };
};

describe('a watch on a table', () => {
  const changes: readonly (readonly [string, boolean, Request])[] = [
    ['a new rule of it', true, notice(MESSAGE.NEW_RULE, OURS)],
    ['an element taken from it', true, notice(MESSAGE.DELETE_ELEMENT, OURS)],
    ['its own end', true, notice(MESSAGE.DELETE_TABLE, OURS)],
    ['a change of another', false, notice(MESSAGE.NEW_RULE, { ...OURS, name: 'theirs' })],
    ['a change of its namesake in another family', false, notice(MESSAGE.NEW_RULE, { ...OURS, family: 'ip6' })],
    ['a change of one whose name begins as its own', false, notice(MESSAGE.NEW_RULE, { ...OURS, name: 'ours-too' })],
    ['a change of one whose name its own begins with', false, notice(MESSAGE.NEW_RULE, { ...OURS, name: 'our' })],
    [
      'a message that is cut short',
      false,
      { ...notice(MESSAGE.NEW_RULE, OURS), body: Buffer.from([2, 0, 0, 0, 9, 0, 1]) },
    ],
    ['the end of a transaction', false, newGeneration()],
  ];
  it.each(changes)('tells of %s: %s', (_, isChange, message) => {
    expect(watching(datagram(message)).watch.hasChanged()).toBe(isChange);
  });

  it('tells of nothing where nothing was heard', () => {
    expect(watching().watch.hasChanged()).toBe(false);
  });

  it('tells of a change once, and hears all that was told until then', () => {
    const other = notice(MESSAGE.NEW_SET, { ...OURS, name: 'theirs' });
    const { watch, state } = watching(
      datagram(other, notice(MESSAGE.NEW_SET, OURS), newGeneration()),
      datagram(other, newGeneration()),
    );
    expect(watch.hasChanged()).toBe(true);
    expect(state.heard).toEqual([]);
    expect(watch.hasChanged()).toBe(false);
  });

  it('takes it for a change when more was told than could be kept', () => {
    const { watch } = watching(new NetlinkError(ERRNO.ENOBUFS, 'recv'));
    expect(watch.hasChanged()).toBe(true);
    expect(watch.hasChanged()).toBe(false);
  });

  it('fails with its socket', () => {
    const { watch, state } = watching(new NetlinkError(ERRNO.EBADF, 'recv'));
    expect(() => watch.hasChanged()).toThrow('EBADF');
    watch.close();
    expect(state.isOpen).toBe(false);
  });
});
