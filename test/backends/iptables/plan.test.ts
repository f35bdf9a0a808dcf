import { describe, expect, it } from 'vitest';
import { planRules as planning } from '../../../src/backends/iptables/plan.ts';
import { MARK_MASQ } from '../../../src/backends/xtables/names.ts';
import { chain, type Jump, jump, type XtablesChain } from '../../../src/backends/xtables/objects.ts';
import type { RestoreInput, RuleChange } from '../../../src/backends/xtables/restore.ts';
import type { Batch, Change } from '../../../src/dataplane/contract.ts';
import { parse, Tables } from './tables.ts';

type KernelChange = Change<XtablesChain | Jump>;

const planRules = (changes: readonly RuleChange[], maxRules: number): readonly Batch<RestoreInput>[] =>
  [...planning(changes, maxRules)].filter((batch) => batch !== undefined);

const add = (object: XtablesChain | Jump): KernelChange => ({ op: 'add', object });
const remove = (object: XtablesChain | Jump): KernelChange => ({ op: 'remove', object });
const textOf = (batches: readonly Batch<RestoreInput>[]): string =>
  batches.map(({ payload }) => payload.text).join('---\n');

/** A Service's chains, named as the hash of its number would be. */
const ofService = (n: number, endpoints = 2): readonly XtablesChain[] => {
  const name = (kind: string, i: number): string =>
    `KUBE-${kind}-${[...`${n}`.padStart(8, '0'), ...`${i}`.padStart(8, '0')].map((c) => 'ABCDEFGHIJ'.charAt(Number(c))).join('')}`;
  const seps = Array.from({ length: endpoints }, (_, i) => name('SEP', i));
  return [
    chain('nat', name('EXT', 0), [`-j ${MARK_MASQ}`, `-j ${name('SVC', 0)}`]),
    chain(
      'nat',
      name('SVC', 0),
      seps.map((sep) => `-j ${sep}`),
    ),
    ...seps.map((sep) =>
      chain('nat', sep, [`-s 10.1.1.1/32 -j ${MARK_MASQ}`, '-p tcp -m tcp -j DNAT --to-destination 10.1.1.1:80']),
    ),
  ];
};

const MARK = chain('nat', MARK_MASQ, ['-j MARK --set-xmark 0x4000/0x4000']);
const rootFor = (count: number): XtablesChain =>
  chain(
    'nat',
    'KUBE-SERVICES',
    Array.from({ length: count }, (_, n) => `-d 10.96.0.${n}/32 -j ${ofService(n)[0]?.name}`),
  );
const HOOK = jump('nat', 'PREROUTING', '-j KUBE-SERVICES');
const everything = (count: number): readonly (XtablesChain | Jump)[] => [
  HOOK,
  rootFor(count),
  MARK,
  ...Array.from({ length: count }, (_, n) => ofService(n)).flat(),
];

describe('the text of one restore', () => {
  it('declares chains, then writes rules, then jumps, then deletes: a table a transaction, in a fixed order', () => {
    const changes = [
      remove(chain('nat', 'KUBE-SEP-AAAAAAAAAAAAAAAA', ['-j ACCEPT'])),
      add(jump('nat', 'PREROUTING', '-j KUBE-SERVICES')),
      add(chain('nat', 'KUBE-SERVICES', ['-j KUBE-NODEPORTS', '-d 10.96.0.1/32 -j KUBE-NODEPORTS'])),
      add(chain('nat', 'KUBE-NODEPORTS', [])),
      remove(jump('filter', 'INPUT', '-m comment --comment "of old" -j KUBE-SERVICES')),
      remove(chain('mangle', 'KUBE-PROXY-CANARY', [])),
    ];
    expect(textOf(planRules(changes, 100))).toBe(`*mangle
:KUBE-PROXY-CANARY - [0:0]
-X KUBE-PROXY-CANARY
COMMIT
*filter
-D INPUT -m comment --comment "of old" -j KUBE-SERVICES
COMMIT
*nat
:KUBE-NODEPORTS - [0:0]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SERVICES - [0:0]
-A KUBE-SERVICES -j KUBE-NODEPORTS
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-NODEPORTS
-I PREROUTING -j KUBE-SERVICES
-X KUBE-SEP-AAAAAAAAAAAAAAAA
COMMIT
`);
  });

  it('puts jumps on top so that they stand as kube-proxy leaves them, new ones before old ones go', () => {
    const previous = jump(
      'nat',
      'PREROUTING',
      '-m comment --comment "kubernetes service portals" -m tcp -j KUBE-SERVICES',
    );
    const changes: readonly KernelChange[] = [
      add(jump('filter', 'FORWARD', '-m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL')),
      add(jump('filter', 'FORWARD', '-j KUBE-FORWARD')),
      add(jump('filter', 'FORWARD', '-m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES')),
      add(jump('filter', 'FORWARD', '-m conntrack --ctstate NEW -j KUBE-SERVICES')),
      { op: 'replace', object: HOOK, previous },
    ];
    expect(textOf(planRules(changes, 100)).match(/^-[ID].*$/gm)).toEqual([
      '-I FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES',
      '-I FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES',
      '-I FORWARD -j KUBE-FORWARD',
      '-I FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL',
      '-I PREROUTING -j KUBE-SERVICES',
      '-D PREROUTING -m comment --comment "kubernetes service portals" -m tcp -j KUBE-SERVICES',
    ]);
  });

  it('is none when nothing changes', () => {
    expect(planRules([], 100)).toEqual([]);
  });

  it('says which objects it is about, and how many rules it writes', () => {
    const changes = [...everything(3).map(add), remove(chain('filter', 'KUBE-SERVICES', ['-j DROP']))];
    const batches = planRules(changes, 1_000);
    expect(batches).toHaveLength(1);
    expect(batches[0]?.ids).toEqual(changes.map(({ object }) => object.id));
    expect(batches[0]?.payload.rules).toBe(3 + 1 + 3 * (2 + 2 + 2 * 2));
  });
});

describe.each([
  { tool: 'nft', maxRules: 4_000 },
  { tool: 'legacy', maxRules: 60_000 },
  { tool: 'a very slow one', maxRules: 50 },
])('many changes, in pieces for $tool', ({ maxRules }) => {
  const count = maxRules / 10;
  const all = everything(count);

  it('name each object once, and write no more than the tool can take', () => {
    const written = planRules(all.map(add), maxRules);
    const removed = planRules(all.map(remove), Math.ceil(all.length / 3));
    expect(written.length).toBeGreaterThan(2);
    for (const batches of [written, removed]) {
      expect(batches.flatMap(({ ids }) => ids).sort()).toEqual(all.map(({ id }) => id).sort());
    }
    const ofServices = written.filter(({ ids }) => !ids.includes('nat KUBE-SERVICES'));
    for (const { payload, ids } of ofServices) expect(payload.rules + ids.length).toBeLessThanOrEqual(maxRules);
  });

  it('are each taken by the tool: what a rule leads to is there before it, and goes after it', () => {
    const tables = new Tables();
    for (const { payload } of planRules(all.map(add), maxRules)) tables.restore(payload.text);
    expect(parse(tables.save()).size).toBe(all.length);
    for (const { payload } of planRules(all.map(remove), Math.ceil(all.length / 5))) tables.restore(payload.text);
    expect(parse(tables.save()).size).toBe(0);
  });
});

describe('in pieces', () => {
  it('an endpoint is out of reach before it is deleted', () => {
    const before = everything(20);
    const after = [rootFor(20), MARK, ...Array.from({ length: 20 }, (_, n) => ofService(n, 1)).flat()];
    const tables = new Tables();
    for (const { payload } of planRules(before.map(add), 1_000)) tables.restore(payload.text);
    const kept = new Set([HOOK, ...after].map(({ id }) => id));
    const changes = [...after.map(add), ...before.filter(({ id }) => !kept.has(id)).map(remove)];
    const batches = planRules(changes, 30);
    const firstRemoval = batches.findIndex(({ payload }) => payload.text.includes('\n-X '));
    const lastRule = batches.findLastIndex(({ payload }) => payload.text.includes('\n-A '));
    expect(firstRemoval).toBeGreaterThan(lastRule);
    for (const { payload } of batches) tables.restore(payload.text);
    expect([...parse(tables.save()).keys()].sort()).toEqual([...kept].sort());
  });

  it('there are steps between, some for each object: nobody has to wait for the whole', () => {
    const changes = everything(300).map(add);
    let [longest, inARow] = [0, 0];
    for (const one of planning(changes, 1_000)) {
      inARow = one === undefined ? inARow + 1 : 0;
      longest = Math.max(longest, inARow);
    }
    expect(longest).toBeGreaterThan(changes.length);
    expect([...planning(changes, 1_000)].length).toBeGreaterThan(5 * changes.length);
  });

  it('a chain of endpoints larger than a piece stays in one', () => {
    const changes = [MARK, ...ofService(0, 100), ...ofService(1, 3)].map(add);
    const tables = new Tables();
    for (const { payload } of planRules(changes, 20)) tables.restore(payload.text);
    expect(parse(tables.save()).size).toBe(changes.length);
  });
});

describe('rules that mode ipvs left', () => {
  const found = chain('nat', 'KUBE-SERVICES', ['-j KUBE-LOAD-BALANCER']);
  const changes: readonly KernelChange[] = [
    { op: 'replace', object: rootFor(1), previous: found },
    ...ofService(0).map(add),
    add(jump('filter', 'INPUT', '-j KUBE-PROXY-FIREWALL')),
    add(chain('filter', 'KUBE-PROXY-FIREWALL', ['-d 203.0.113.7/32 -j DROP'])),
    remove(chain('nat', 'KUBE-LOAD-BALANCER', [])),
    remove(jump('mangle', 'PREROUTING', '-j KUBE-IPVS-MARK')),
    remove(chain('mangle', 'KUBE-IPVS-MARK', [])),
  ];

  it('serve until new connections are translated: nothing else is touched before', () => {
    const [first, ...rest] = planRules(changes, 1_000).map(({ payload }) => payload.text);
    expect(first).toMatch(/^\*nat\n/);
    expect(first).toContain('-A KUBE-SERVICES -d 10.96.0.0/32');
    expect(first).not.toMatch(/\*filter|\*mangle|-X/);
    expect(rest.join('')).toMatch(
      /\*mangle\n.*-D PREROUTING.*\*filter\n.*-A KUBE-PROXY-FIREWALL.*-X KUBE-LOAD-BALANCER/s,
    );
  });

  it('and without them all is one transaction a table', () => {
    const own = changes.filter(({ object }) => !/IPVS|LOAD-BALANCER/.test(object.id));
    expect(planRules(own, 1_000)).toHaveLength(1);
  });
});
