/**
 * nft as the judge of what the library writes: its own text and JSON, loaded by nft, make of the kernel byte by byte what
 * the library's messages make of it, and nft lists both alike. By two versions, each in a namespace of its own: a table
 * that a newer nft has touched makes an older one crash.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NEWER_NFT } from '../../.ci/newer-nft.mjs';
import type { Command, Element, SetDeclaration } from '../../src/nftables-json/schema.ts';
import { formatCommand, formatJson } from '../../src/nftables-json/text.ts';
import { TABLE as RANDOM_TABLE, randomRule, TARGET } from '../nftables-json/random-rules.ts';
import { randomSet } from '../nftables-json/random-sets.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace, withNamespace } from './nft-namespace.ts';
import { type RawTable, rawTable } from './nft-raw.ts';
import {
  type AddressFamily,
  everything,
  FAMILIES,
  removals,
  setsOf,
  TABLE,
  TYPEOF_SETS,
  withAffinity,
} from './nft-ruleset.ts';
import { describeWith, type Need, program } from './requires.ts';

const NEWER = fileURLToPath(new URL(`../../${NEWER_NFT}`, import.meta.url));
const newer: Need = {
  what: `nft of Debian 13 as ${NEWER_NFT} (node .ci/prepare.mjs)`,
  isMet: () => spawnSync(NEWER, ['--version']).status === 0,
};

const NOTHING: RawTable = { chains: [], rules: [], sets: [] };

/** What people have in their tables besides. */
const FOREIGN = `
add table ip foreign
add set ip foreign macs { type ether_addr ; elements = { 00:11:22:33:44:55 } ; }
add set ip foreign ports { type inet_service ; elements = { 80 } ; }
add chain ip foreign c
add chain ip foreign late { type filter hook input priority 7 ; }
add rule ip foreign c limit rate 5/second burst 7 packets counter log prefix "x" drop
add rule ip foreign c tcp dport { 80, 443 } ip saddr 10.0.0.1-10.0.0.9 tcp flags syn drop
add rule ip foreign c ct state { new, established } meta skuid 0 ip ttl lt 3 drop
add rule ip foreign c oifname "eth0" ip protocol icmp icmp type echo-request ip dscp cs1 drop
add rule ip foreign c ip saddr & 255.0.255.0 == 10.0.1.0 meta mark & 0xff00 | 0x1 == 0x1 drop
add rule ip foreign late ct zone 1 fib saddr . iif oif missing meta mark set 0x1 drop
`;

/** nft reads a counter's numbers in its text and passes over them in JSON. */
const fromZero = (commands: readonly Command[]): readonly Command[] => {
  const reset = (name: string, value: unknown): unknown =>
    name === 'counter' && value !== null ? { packets: 0, bytes: 0 } : value;
  return JSON.parse(JSON.stringify(commands, reset)) as readonly Command[];
};

const textOf = (commands: readonly Command[]): string => `${commands.map(formatCommand).join('\n')}\n`;

const rawOf = ({ connection }: Namespace, family: AddressFamily, table = TABLE): RawTable =>
  rawTable(connection, family, table, [...TYPEOF_SETS, 'indexed']);

/** The table as the kernel has it after `load`. */
const rawAfter = (family: AddressFamily, table: string, load: (namespace: Namespace) => void): RawTable =>
  withNamespace((namespace) => {
    load(namespace);
    return rawOf(namespace, family, table);
  });

/** Of everything: as the kernel has it, and as this nft lists it. What is left of a time-out depends on when it is asked. */
const outcome = (nft: string, family: AddressFamily, load: (namespace: Namespace) => void) =>
  withNamespace((namespace) => {
    load(namespace);
    const listing = namespace.run(nft, 'list', 'table', family, TABLE).replace(/ expires \w+/g, '');
    return { raw: rawOf(namespace, family), listing };
  });

/** So many rules at once, the same in every run: what a run finds another finds too. */
const RULES = 1_000;
const SETS = 100;
const SEED = 20_250_811;

const declared = (set: SetDeclaration): Command => ({ add: set.map === undefined ? { set } : { map: set } });

/** A table with the chain that rules and elements lead to, and these sets. */
const randomTable = (family: AddressFamily, sets: readonly SetDeclaration[]): readonly Command[] => [
  { add: { table: { family, name: RANDOM_TABLE } } },
  { add: { chain: { family, table: RANDOM_TABLE, name: TARGET } } },
  ...new Map(sets.map((set) => [set.name, declared(set)])).values(),
];

const randomRules = (family: AddressFamily): readonly Command[] => {
  const rules = fc.sample(randomRule(family), { numRuns: RULES, seed: SEED });
  const here = { family, table: RANDOM_TABLE };
  return [
    ...randomTable(
      family,
      rules.flatMap(({ sets }) => sets),
    ),
    { add: { chain: { ...here, name: 'rules' } } },
    ...rules.map(({ statements }): Command => ({ add: { rule: { ...here, chain: 'rules', expr: statements } } })),
  ];
};

const randomElements = (family: AddressFamily): readonly Command[] => {
  const sets = Array.from({ length: SETS }, (_, i) =>
    fc.sample(randomSet(family, `s${i}`), { numRuns: 1, seed: SEED + i }),
  ).flat();
  return [
    ...randomTable(
      family,
      sets.map(({ declaration }) => declaration),
    ),
    ...sets.flatMap(({ declaration: { table, name }, elements }): readonly Command[] =>
      elements.length === 0 ? [] : [{ add: { element: { family, table, name, elem: elements } } }],
    ),
  ];
};

const readers = [
  { name: 'the system’s nft', nft: 'nft', needs: [program('nft')], commandsOf: everything },
  { name: 'nft of Debian 13', nft: NEWER, needs: [newer], commandsOf: withAffinity },
] as const;

for (const { name, nft, needs, commandsOf } of readers) {
  describeWith([...NAMESPACE_NEEDS, ...needs], name, () => {
    describe.each(FAMILIES)('in family %s', (family) => {
      const commands = commandsOf(family);

      it('accepts the text without a change to the kernel', () => {
        withNamespace((namespace) => {
          namespace.runOn(textOf(commands), nft, '-c', '-f');
          expect(rawOf(namespace, family)).toEqual(NOTHING);
        });
      });

      it('makes of the text what the library makes of the commands', () => {
        const theirs = outcome(nft, family, ({ runOn }) => void runOn(textOf(commands), nft, '-f'));
        const ours = outcome(nft, family, ({ nftables }) => nftables.run(commands));
        expect(ours.raw).toEqual(theirs.raw);
        expect(ours.listing).toBe(theirs.listing);
        expect(ours.raw.rules.length).toBe(commands.filter((one) => 'add' in one && 'rule' in one.add).length);
      });

      it('takes away what the library takes away', () => {
        const changes = removals(family);
        const theirs = outcome(nft, family, ({ nftables, runOn }) => {
          nftables.run(commands);
          runOn(textOf(changes), nft, '-f');
        });
        const ours = outcome(nft, family, ({ nftables }) => {
          nftables.run(commands);
          nftables.run(changes, { sets: setsOf(family).map(([set]) => set) });
        });
        expect(ours.raw).toEqual(theirs.raw);
        expect(ours.raw.sets.length).toBe(setsOf(family).length - 2);
      });

      it('makes of random elements what the library makes of them', () => {
        const random = randomElements(family);
        const theirs = rawAfter(family, RANDOM_TABLE, ({ runOn }) => void runOn(textOf(random), nft, '-f'));
        expect(rawAfter(family, RANDOM_TABLE, ({ nftables }) => nftables.run(random))).toEqual(theirs);
      });
    });
  });
}

describeWith([...NAMESPACE_NEEDS, newer], 'nft of Debian 13', () => {
  describe.each(FAMILIES)('in family %s', (family) => {
    it('makes of the JSON what the library makes of the commands', () => {
      const commands = fromZero(withAffinity(family));
      const json = formatJson(commands);
      withNamespace((namespace) => {
        namespace.runOn(json, NEWER, '-j', '-c', '-f');
        expect(rawOf(namespace, family)).toEqual(NOTHING);
      });
      const theirs = outcome(NEWER, family, ({ runOn }) => void runOn(json, NEWER, '-j', '-f'));
      const ours = outcome(NEWER, family, ({ nftables }) => nftables.run(commands));
      expect(ours.raw).toEqual(theirs.raw);
      expect(ours.listing).toBe(theirs.listing);
    });

    it.each([
      ['rules', randomRules(family)],
      ['elements', randomElements(family)],
    ] as const)('makes of random %s, as text and as JSON, what the library makes of them', (_, commands) => {
      const ours = (of: readonly Command[]) => rawAfter(family, RANDOM_TABLE, ({ nftables }) => nftables.run(of));
      const loaded = (text: string, ...args: readonly string[]) =>
        rawAfter(family, RANDOM_TABLE, ({ runOn }) => void runOn(text, NEWER, ...args, '-f'));
      expect(ours(commands)).toEqual(loaded(textOf(commands)));
      expect(ours(fromZero(commands))).toEqual(loaded(formatJson(fromZero(commands)), '-j'));
    });
  });
});

describeWith([...NAMESPACE_NEEDS, program('nft')], 'the system’s nft', () => {
  it.each(FAMILIES)('lists the rule that fills a map from packets, in family %s', (family) => {
    const { listing } = outcome('nft', family, ({ nftables }) => nftables.run(withAffinity(family)));
    const address = `${family} saddr . ct original ${family} daddr . meta l4proto . ct original proto-dst`;
    expect(listing).toContain(`update @affinity { ${address} timeout 1m : ${family} daddr . th dport }`);
  });

  it('writes what the library has no words for, and it is read as far as it is known', async () => {
    const namespace = createNamespace();
    try {
      namespace.runOn(FOREIGN, 'nft', '-f');
      const { chains, rules, sets } = namespace.nftables.list('ip', 'foreign') ?? { chains: [], rules: [], sets: [] };
      expect(chains.map(({ name }) => name)).toEqual(['c', 'late']);
      expect(rules.map(({ expr }) => expr.at(-1))).toEqual(rules.map(() => ({ drop: null })));
      expect(JSON.stringify(rules)).toContain('"xt":{"type":"unknown","name":"limit"}');
      expect(sets.map(({ declaration, isKnown }) => [declaration.name, isKnown])).toEqual([
        ['macs', false],
        ['ports', true],
      ]);
      const [, ports] = sets;
      const found: Element[] = [];
      if (ports !== undefined) await namespace.nftables.visit(ports.declaration, (element) => found.push(element));
      expect(found).toEqual([80]);
    } finally {
      namespace.remove();
    }
  });
});
