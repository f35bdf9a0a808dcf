/**
 * Kernel objects edited one by one by others: each is as before soon, and nothing is written but what was edited. In mode
 * nftables and with the nf_tables tools the kernel tells; the legacy tools' edits are found by the next look.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { type Bench, saved, startBench, VARIANTS } from './cluster.ts';
import { repairOf, startEdited } from './edits.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const WITHIN_MS = 5_000;
/** Legacy tools: nobody tells. */
const LOOKS = '--iptables-sync-period=1s';
/** Nothing is repaired by looks. */
const NO_LOOKS = '--iptables-sync-period=1h';

type Commands = readonly (readonly string[])[];

interface IptablesEdit {
  readonly title: string;
  readonly table: 'nat' | 'filter';
  /** By what is in the table: chain → rules, as iptables-save has them. */
  readonly commands: (chains: ReadonlyMap<string, readonly string[]>) => Commands;
  /** Kernel objects that it touches. */
  readonly objects: number;
  readonly isAnExample?: boolean;
}

const words = (rule: string): readonly string[] =>
  [...rule.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');

/** The first rule that is like this, with its chain. */
const ruleLike = (
  chains: ReadonlyMap<string, readonly string[]>,
  chain: RegExp,
  rule: RegExp,
): readonly [chain: string, rule: string] => {
  for (const [name, rules] of chains) {
    const found = chain.test(name) ? rules.find((text) => rule.test(text)) : undefined;
    if (found !== undefined) return [name, found];
  }
  throw new Error(`no rule like ${rule} in ${chain} of ${[...chains.keys()]}`);
};

const deleted =
  (chain: RegExp, rule: RegExp): IptablesEdit['commands'] =>
  (chains) => {
    const [name, text] = ruleLike(chains, chain, rule);
    return [['-D', name, ...words(text)]];
  };

const flushed =
  (chain: RegExp): IptablesEdit['commands'] =>
  (chains) => [['-F', ruleLike(chains, chain, /./)[0]]];

const added =
  (chain: RegExp, ...rule: readonly string[]): IptablesEdit['commands'] =>
  (chains) => [['-I', ruleLike(chains, chain, /./)[0], ...rule]];

const replaced =
  (chain: RegExp, rule: RegExp, ...by: readonly string[]): IptablesEdit['commands'] =>
  (chains) => {
    const [name, text] = ruleLike(chains, chain, rule);
    return [['-R', name, String((chains.get(name)?.indexOf(text) ?? 0) + 1), ...by]];
  };

const IPTABLES_EDITS: readonly IptablesEdit[] = [
  {
    title: 'a jump deleted',
    table: 'nat',
    commands: deleted(/^PREROUTING$/, /KUBE-SERVICES/),
    objects: 1,
    isAnExample: true,
  },
  { title: 'a jump deleted', table: 'filter', commands: deleted(/^INPUT$/, /KUBE-/), objects: 1 },
  {
    title: 'a rule of dispatch deleted',
    table: 'nat',
    commands: deleted(/^KUBE-SERVICES$/, /10\.96\.1\.220/),
    objects: 1,
    isAnExample: true,
  },
  { title: 'a NodePort’s rule deleted', table: 'nat', commands: deleted(/^KUBE-NODEPORTS$/, /30221/), objects: 1 },
  { title: 'the chain of dispatch flushed', table: 'nat', commands: flushed(/^KUBE-SERVICES$/), objects: 1 },
  { title: 'a Service’s chain flushed', table: 'nat', commands: flushed(/^KUBE-SVC-/), objects: 1, isAnExample: true },
  { title: 'a policy’s chain flushed', table: 'nat', commands: flushed(/^KUBE-SVL-/), objects: 1 },
  { title: 'an outside chain flushed', table: 'nat', commands: flushed(/^KUBE-EXT-/), objects: 1 },
  { title: 'a firewall chain’s rule deleted', table: 'nat', commands: deleted(/^KUBE-FW-/, /-s 10\.250/), objects: 1 },
  { title: 'an endpoint’s rule deleted', table: 'nat', commands: deleted(/^KUBE-SEP-/, /DNAT/), objects: 1 },
  {
    title: 'a rule replaced by another',
    table: 'nat',
    commands: replaced(/^KUBE-SEP-/, /DNAT/, '-p', 'tcp', '-j', 'DNAT', '--to-destination', '10.200.1.22:8080'),
    objects: 1,
    isAnExample: true,
  },
  {
    title: 'a rule of others added to a Service’s chain',
    table: 'nat',
    commands: added(/^KUBE-SVC-/, '-s', '192.0.2.9/32', '-j', 'RETURN'),
    objects: 1,
    isAnExample: true,
  },
  {
    title: 'a rule of others added to dispatch',
    table: 'nat',
    commands: added(/^KUBE-SERVICES$/, '-d', '10.96.1.220/32', '-j', 'RETURN'),
    objects: 1,
  },
  { title: 'the chain that marks flushed', table: 'nat', commands: flushed(/^KUBE-MARK-MASQ$/), objects: 1 },
  {
    title: 'a rule that masquerades deleted',
    table: 'nat',
    commands: deleted(/^KUBE-POSTROUTING$/, /MASQUERADE/),
    objects: 1,
  },
  { title: 'a refusal deleted', table: 'filter', commands: deleted(/^KUBE-SERVICES$/, /10\.96\.1\.225/), objects: 1 },
  { title: 'what drops deleted', table: 'filter', commands: deleted(/^KUBE-PROXY-FIREWALL$/, /DROP/), objects: 1 },
  {
    title: 'the chain that forwards flushed',
    table: 'filter',
    commands: flushed(/^KUBE-FORWARD$/),
    objects: 1,
    isAnExample: true,
  },
  {
    title: 'a rule of others added',
    table: 'filter',
    commands: added(/^KUBE-FORWARD$/, '-s', '192.0.2.9/32', '-j', 'DROP'),
    objects: 1,
  },
];

const chainsIn = (listing: string, table: string): ReadonlyMap<string, readonly string[]> => {
  const chains = new Map<string, string[]>();
  let isIn = false;
  for (const line of listing.split('\n')) {
    if (line.startsWith('*')) isIn = line === `*${table}`;
    const [, chain, rule] = (isIn && /^(?::|-A )(\S+) (.*)$/.exec(line)) || [];
    if (chain === undefined) continue;
    chains.set(chain, [...(chains.get(chain) ?? []), ...(line.startsWith('-A') ? [rule ?? ''] : [])]);
  }
  return chains;
};

/** The legacy tools are only another way to find out: one of each kind of edit will do. */
const editsFor = (variant: 'nft' | 'legacy'): readonly IptablesEdit[] =>
  variant === 'nft' ? IPTABLES_EDITS : IPTABLES_EDITS.filter(({ isAnExample }) => isAnExample);

for (const { variant } of VARIANTS) {
  const tool = `iptables-${variant}`;
  describeWith([...LAB_NEEDS, program(tool)], `mode iptables, the tools of variant ${variant}`, () => {
    let bench: Bench;
    let proxy: NodeProxy;
    let total = 0;
    beforeAll(async () => {
      bench = await startBench();
      const looks = variant === 'nft' ? NO_LOOKS : LOOKS;
      ({ proxy, written: total } = await startEdited(bench, [`--iptables-tool=${variant}`, looks]));
    });
    afterAll(async () => {
      await proxy?.stop('SIGKILL');
      await bench?.remove();
    });
    const listed = (): Promise<string> => saved(bench.lab, tool);

    it.for(editsFor(variant))('$table: $title', async ({ table, commands, objects }, { annotate }) => {
      const chains = chainsIn(await listed(), table);
      const { lab } = bench;
      const edit = async (): Promise<void> => {
        for (const command of commands(chains)) await lab.run('node1', tool, ['-w', '-t', table, ...command]);
      };
      const former = total;
      const { written, tookMs } = await repairOf({ lab, listed, edit, withinMs: WITHIN_MS });
      total = written;
      await annotate(`repaired after ${tookMs} ms`);
      expect(written - former).toBe(objects);
    });
  });
}
