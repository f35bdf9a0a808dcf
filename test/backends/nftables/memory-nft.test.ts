/** The kernel in memory refuses what a kernel refuses, and all of a transaction or nothing. */
import { describe, expect, it } from 'vitest';
import { NetlinkConnection } from '../../../src/netlink/connection.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import {
  concat,
  dnat,
  drop,
  element,
  goto,
  inSet,
  jump,
  lookup,
  mapUpdate,
  masquerade,
  meta,
  numgen,
  payload,
  prefix,
  reject,
  vmap,
} from '../../../src/nftables-json/construct.ts';
import { Nftables } from '../../../src/nftables-json/nftables.ts';
import type { Chain, Command, SetDeclaration, Statement } from '../../../src/nftables-json/schema.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, here, remove } from './vandal.ts';
import { listingOf } from './world.ts';

const chain = (name: string, hook?: Chain['hook'], type: 'nat' | 'filter' = 'filter'): Command => ({
  add: { chain: hook === undefined ? { ...here, name } : { ...here, name, type, hook, prio: 0, policy: 'accept' } },
});
const rule = (name: string, ...expr: readonly Statement[]): Command => ({
  add: { rule: { ...here, chain: name, expr } },
});
const ports = { ...here, name: 'ports', type: 'inet_service' } as const;
const verdicts = { ...here, name: 'verdicts', type: 'inet_service', map: 'verdict' } as const;
const targets = { ...here, name: 'targets', type: 'mark', map: ['ipv4_addr', 'inet_service'] } as const;
const ranges = { ...here, name: 'ranges', type: ['inet_service', 'ipv4_addr'], flags: ['interval'] } as const;
const clients = {
  ...here,
  name: 'clients',
  type: 'ipv4_addr',
  map: 'inet_service',
  flags: ['dynamic', 'timeout'],
  size: 2,
} as const;
const plain = { ...here, name: 'plain', type: 'ipv4_addr', map: 'inet_service' } as const;
const SETS: readonly SetDeclaration[] = [ports, verdicts, targets, ranges, clients, plain];

const dport = payload('th', 'dport');
const remembered = (map: string): Statement => mapUpdate(map, payload('ip', 'saddr'), dport, 60);

const START: readonly Command[] = [
  { add: { table: { family: 'ip', name: here.table } } },
  ...[ports, ranges].map((set): Command => ({ add: { set } })),
  ...[verdicts, targets, clients, plain].map((map): Command => ({ add: { map } })),
  chain('a'),
  chain('b'),
  chain('in', 'input'),
  chain('pre', 'prerouting', 'nat'),
  rule('a', jump('b')),
  rule('in', inSet(dport, 'ports'), drop),
  add('ports', 80),
  add('verdicts', [80, goto('a')]),
  add('targets', [0, concat('10.0.0.1', 80)]),
  add('ranges', concat(80, prefix('10.0.0.0', 8))),
];

const run = (kernel: MemoryNft, ...commands: readonly Command[]): void => kernel.run(commands, SETS);

const started = (): MemoryNft => {
  const kernel = new MemoryNft();
  run(kernel, ...START);
  return kernel;
};

const REFUSED: readonly (readonly [string, number, readonly Command[]])[] = [
  ['an element that is there with other data', ERRNO.EEXIST, [add('verdicts', [80, drop])]],
  ['a range that overlaps', ERRNO.EEXIST, [add('ranges', concat(80, prefix('10.1.0.0', 16)))]],
  ['an element that is not there to be deleted', ERRNO.ENOENT, [remove('ports', 81)]],
  ['a part of a range to be deleted', ERRNO.ENOENT, [remove('ranges', concat(80, prefix('10.1.0.0', 16)))]],
  ['an element of a set that is not there', ERRNO.ENOENT, [{ delete: { set: ports } }, add('ports', 1)]],
  ['a verdict to a chain that is not there', ERRNO.ENOENT, [add('verdicts', [81, goto('nowhere')])]],
  ['a verdict to a base chain', ERRNO.EOPNOTSUPP, [add('verdicts', [81, goto('in')])]],
  ['a rule in a chain that is not there', ERRNO.ENOENT, [rule('nowhere', drop)]],
  ['a rule that leads to a chain that is not there', ERRNO.ENOENT, [rule('a', goto('nowhere'))]],
  ['a rule that looks into a set that is not there', ERRNO.ENOENT, [rule('a', inSet(dport, 'nowhere'), drop)]],
  ['a map looked into as a set', ERRNO.EINVAL, [rule('a', inSet(dport, 'verdicts'), drop)]],
  ['a set looked into as a map', ERRNO.EINVAL, [rule('a', vmap(dport, 'ports'))]],
  ['an update of a map that is not for that', ERRNO.EOPNOTSUPP, [rule('a', remembered('plain'))]],
  ['a time-out in a set that knows none', ERRNO.EINVAL, [add('plain', [{ elem: { val: '10.0.0.1', timeout: 5 } }, 1])]],
  [
    'more than there is room for',
    ERRNO.ENFILE,
    [add('clients', ...['1', '2', '3'].map((n) => [`10.0.0.${n}`, 1] as const))],
  ],
  ['to delete a chain that a rule leads to', ERRNO.EBUSY, [{ delete: { chain: { ...here, name: 'b' } } }]],
  ['to delete a chain that a verdict leads to', ERRNO.EBUSY, [{ delete: { chain: { ...here, name: 'a' } } }]],
  ['to delete a set that a rule looks into', ERRNO.EBUSY, [{ delete: { set: ports } }]],
  ['to delete a chain that is not there', ERRNO.ENOENT, [{ delete: { chain: { ...here, name: 'nowhere' } } }]],
  ['to empty a chain that is not there', ERRNO.ENOENT, [{ flush: { chain: { ...here, name: 'nowhere' } } }]],
  ['a set of another type', ERRNO.EEXIST, [{ add: { set: { ...ports, type: 'ipv4_addr' } } }]],
  [
    'a base chain of another priority',
    ERRNO.EEXIST,
    [{ add: { chain: { ...here, name: 'in', type: 'filter', hook: 'input', prio: 7, policy: 'accept' } } }],
  ],
  ['a hook for a chain that has none', ERRNO.EEXIST, [chain('a', 'input')]],
  ['a circle', ERRNO.ELOOP, [rule('b', goto('a')), rule('in', jump('a'))]],
  ['a circle by way of a map', ERRNO.ELOOP, [rule('in', jump('b')), rule('b', vmap(dport, 'verdicts'))]],
  ['translation where packets are filtered', ERRNO.EOPNOTSUPP, [rule('in', dnat('ip', lookup(numgen(1), 'targets')))]],
  ['masquerading before routing', ERRNO.EOPNOTSUPP, [rule('pre', jump('b')), rule('b', masquerade)]],
  ['a refusal before routing', ERRNO.EOPNOTSUPP, [rule('pre', vmap(dport, 'verdicts')), rule('a', reject('ip'))]],
];

describe('a kernel in memory refuses', () => {
  it.each(REFUSED)('%s, and all that comes with it', async (_, errno, commands) => {
    const kernel = started();
    const { generation } = kernel;
    const before = await listingOf(kernel);
    let refused: unknown;
    try {
      const [first] = commands;
      const isOwn = first !== undefined && 'delete' in first && commands.length > 1;
      run(
        kernel,
        chain('new'),
        ...(isOwn ? [{ flush: { chain: { ...here, name: 'in' } } } as const] : []),
        ...commands,
      );
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ name: 'TransactionError', errno });
    expect(await listingOf(kernel)).toEqual(before);
    expect(kernel.generation).toBe(generation);
  });
});

describe('a kernel in memory takes', () => {
  it.each<readonly [string, readonly Command[]]>([
    [
      'an element that is there with the same data, and leaves its comment',
      [add('verdicts', [element(80, 'other'), goto('a')])],
    ],
    ['sets, chains and tables that are there', START.slice(0, 11)],
    ['a deletion that is made good in the same transaction', [remove('ports', 80), add('ports', 80)]],
  ])('%s, and nothing changes', async (_, commands) => {
    const kernel = started();
    const before = await listingOf(kernel);
    run(kernel, ...commands);
    expect(await listingOf(kernel)).toEqual(before);
  });

  it('a chain’s end with the last that led to it, in one transaction', async () => {
    const kernel = started();
    run(
      kernel,
      remove('verdicts', 80),
      { flush: { chain: { ...here, name: 'a' } } },
      ...['b', 'a'].map((name): Command => ({ delete: { chain: { ...here, name } } })),
    );
    expect((await listingOf(kernel)).filter((line) => /^(chain|rule) [ab]\b/.test(line))).toEqual([]);
  });

  it('a table’s end with all that is in it', async () => {
    const kernel = started();
    run(kernel, { delete: { table: { family: 'ip', name: here.table } } });
    expect(await listingOf(kernel)).toEqual([]);
    expect(() => run(kernel, chain('a'))).toThrow('ENOENT');
  });

  it('rules with all kinds of statements, and gives them back', async () => {
    const kernel = started();
    run(
      kernel,
      chain('post', 'postrouting', 'nat'),
      rule('pre', dnat('ip', lookup(numgen(2), 'targets'))),
      rule('post', remembered('clients'), masquerade),
      rule('in', vmap(meta('l4proto'), 'verdicts')),
    );
    expect(await listingOf(kernel)).toEqual(
      expect.arrayContaining(['rule post update @clients { ip saddr timeout 60s : th dport } masquerade fully-random']),
    );
  });

  it('a transaction only of the generation that it was made for', () => {
    const kernel = started();
    const nftables = new Nftables(new NetlinkConnection(kernel.open()));
    const generation = nftables.generation();
    expect(generation).toBe(kernel.generation);
    nftables.run([chain('c')], { generation });
    expect(() => nftables.run([chain('d')], { generation })).toThrow();
    nftables.check([chain('d')]);
    expect(nftables.list('ip', here.table)?.chains.map(({ name }) => name)).not.toContain('d');
  });

  it('a table part by part, with rests while the chains of somebody else’s go by', async () => {
    const kernel = started();
    const theirs = { family: 'ip', table: 'filter' } as const;
    const nftables = new Nftables(new NetlinkConnection(kernel.open(), { turnMs: 0 }));
    nftables.run([
      { add: { table: { family: 'ip', name: theirs.table } } },
      ...Array.from({ length: 3_000 }, (_, i): Command => ({ add: { chain: { ...theirs, name: `c${i}` } } })),
    ]);
    let rests = 0;
    const count = (): void => {
      rests += 1;
      pending = setImmediate(count);
    };
    let pending = setImmediate(count);
    const found = await nftables.visitTable('ip', here.table);
    clearImmediate(pending);
    expect(rests).toBeGreaterThan(10);
    expect(found).toEqual(nftables.list('ip', here.table));
    expect(found?.chains.length).toBeGreaterThan(0);
    expect(await nftables.visitTable('ip', 'none')).toBeUndefined();
  });
});
