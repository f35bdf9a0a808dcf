import { expect, it } from 'vitest';
import { text } from '../../src/netlink/attributes.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';
import { encodeMessage, messageLength, type Request } from '../../src/netlink/message.ts';
import { ChainWatch } from '../../src/nftables-json/chain-watch.ts';
import { drop, goto, jump, match, meta } from '../../src/nftables-json/construct.ts';
import { CHAIN, MESSAGE, messagesOf, messageType, RULE, request, TABLE } from '../../src/nftables-json/messages.ts';

const datagram = (...requests: readonly Request[]): Buffer => {
  const bytes = Buffer.alloc(requests.reduce((sum, one) => sum + messageLength(one), 0));
  let at = 0;
  for (const one of requests) at = encodeMessage(bytes, at, one, 0, 0);
  return bytes;
};

const watching = (...heard: readonly (Buffer | NetlinkError)[]): ChainWatch => {
  const waiting = [...heard];
  const receive = (): Buffer | undefined => {
    const next = waiting.shift();
    if (next instanceof NetlinkError) throw next;
    return next;
  };
  return new ChainWatch({ send: () => undefined, receive, close: () => undefined, port: 1 });
};

const raise = (): never => {
  throw new Error('there is none');
};

const nat = text(TABLE.NAME, 'nat');

it('tells table and chain of what is written, and whether something went', () => {
  const watch = watching(
    datagram(
      request(MESSAGE.NEW_CHAIN, 'ip', 0, [nat, text(CHAIN.NAME, 'A')]),
      request(MESSAGE.DELETE_CHAIN, 'ip6', 0, [nat, text(CHAIN.NAME, 'B')]),
      request(MESSAGE.NEW_RULE, 'ip', 0, [nat, text(RULE.CHAIN, 'C')]),
    ),
    datagram(
      request(MESSAGE.DELETE_RULE, 'inet', 0, [nat, text(RULE.CHAIN, 'D')]),
      request(MESSAGE.DELETE_TABLE, 'ip', 0, [nat]),
    ),
  );
  expect([...watch.changes()]).toEqual([
    { family: 'ip', table: 'nat', chain: 'A', isRemoval: false },
    { family: 'ip6', table: 'nat', chain: 'B', isRemoval: true },
    { family: 'ip', table: 'nat', chain: 'C', isRemoval: false },
    { family: 'inet', table: 'nat', chain: 'D', isRemoval: true },
    { family: 'ip', table: 'nat', chain: undefined, isRemoval: true },
  ]);
  expect([...watch.changes()]).toEqual([]);
});

it('tells where a rule led that went', () => {
  const rule = { family: 'ip', table: 'nat', chain: 'PREROUTING' } as const;
  const told = [[jump('KUBE-SERVICES')], [match(meta('l4proto'), '==', 'tcp'), goto('B')], [drop]].map((expr) => {
    const [added] = messagesOf(
      { add: { rule: { ...rule, expr } } },
      () => raise(),
      () => 1,
    );
    return { ...(added ?? raise()), type: messageType(MESSAGE.DELETE_RULE) };
  });
  expect([...watching(datagram(...told)).changes()].map((one) => one?.leadsTo)).toEqual([['KUBE-SERVICES'], ['B'], []]);
});

it('passes over what is about no chain', () => {
  const watch = watching(
    datagram(
      request(MESSAGE.NEW_TABLE, 'ip', 0, [nat]),
      request(MESSAGE.NEW_ELEMENT, 'ip', 0, [nat]),
      request(MESSAGE.NEW_GENERATION, 'ip', 0, []),
    ),
  );
  expect([...watch.changes()]).toEqual([]);
});

it('says that something is lost, and goes on', () => {
  const lost = new NetlinkError(ERRNO.ENOBUFS, 'recv');
  const watch = watching(lost, datagram(request(MESSAGE.DELETE_TABLE, 'ip', 0, [nat])));
  expect([...watch.changes()].map((one) => one?.table)).toEqual([undefined, 'nat']);
});

it('of very much that was told gives a part at a time, and loses nothing', () => {
  const names = Array.from({ length: 200 }, (_, i) => `C${i}`);
  const watch = watching(
    ...names.map((name) => datagram(request(MESSAGE.NEW_CHAIN, 'ip', 0, [nat, text(CHAIN.NAME, name)]))),
  );
  const calls = Array.from({ length: 5 }, () => [...watch.changes()].map((change) => change?.chain));
  expect(calls.map(({ length }) => length)).toEqual([64, 64, 64, 8, 0]);
  expect(calls.flat()).toEqual(names);
});
