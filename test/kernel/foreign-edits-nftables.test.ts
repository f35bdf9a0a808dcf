/**
 * Objects of our table edited one by one by others, with an nft that is not ours: each is as before within a second, as the
 * kernel tells, nothing is written but what was edited, and what is beside it stays.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NEWER_NFT } from '../../.ci/newer-nft.mjs';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { type Bench, startBench } from './cluster.ts';
import { repairOf, startEdited } from './edits.ts';
import { linesOfRuleset, type Rules, rulesWithHandles } from './nft-lines.ts';
import { describeWith, LAB_NEEDS, type Need } from './requires.ts';

const NFT = fileURLToPath(new URL(`../../${NEWER_NFT}`, import.meta.url));
const newer: Need = {
  what: `nft of Debian 13 as ${NEWER_NFT} (node .ci/prepare.mjs)`,
  isMet: () => spawnSync(NFT, ['--version']).status === 0,
};

const FLAGS = ['--proxy-mode=nftables', '--nodeport-addresses=0.0.0.0/0', '--iptables-sync-period=1h'];
/** A second, and what a starved machine takes to list it. */
const WITHIN_MS = 5_000;

/** Beside ours, with a chain of the same name. */
const THEIRS = [
  'add table ip theirs',
  'add set ip theirs allowed { type ipv4_addr; elements = { 192.0.2.1 }; }',
  'add chain ip theirs services',
  'add rule ip theirs services ip saddr @allowed counter accept',
  'add chain ip theirs filter-input { type filter hook input priority 5; policy accept; }',
  'add rule ip theirs filter-input jump services',
  'add table inet theirs',
  'add chain inet theirs forward { type filter hook forward priority 5; policy accept; }',
].join('\n');

interface Edit {
  readonly title: string;
  /** In nft's language; `RULES(chain, text)` stands for the handle of the first rule of the chain with this text in it. */
  readonly does: readonly string[];
  /** Kernel objects that are written. */
  readonly objects: number;
}

/** In one transaction, of one IP family. */
const ALL = 80;

const OURS = 'ip kube-proxy';
const added = (set: string, element: string): string => `add element ${OURS} ${set} { ${element} }`;
const removed = (set: string, element: string): string => `delete element ${OURS} ${set} { ${element} }`;
const flushed = (chain: string): string => `flush chain ${OURS} ${chain}`;

const PLAIN = '10.96.1.220 . tcp . 80';
const STICKY = '10.96.1.221 . tcp . 80';
const RANGED = '198.19.1.222 . tcp . 80';
const LOCAL = '198.19.1.223 . tcp . 80';

const ELEMENT_EDITS: readonly Edit[] = [
  { title: 'a ClusterIP removed', does: [removed('cluster-ips', '10.96.1.220')], objects: 1 },
  { title: 'a ClusterIP of others added', does: [added('cluster-ips', '10.96.7.7')], objects: 1 },
  { title: 'all ClusterIPs flushed', does: [`flush set ${OURS} cluster-ips`], objects: 6 },
  { title: 'a NodePort address added', does: [added('nodeport-ips', '10.250.0.1')], objects: 1 },
  { title: 'a hairpin removed', does: [`flush set ${OURS} hairpin-connections`], objects: 1 },
  { title: 'a verdict removed', does: [removed('service-ips', PLAIN)], objects: 1 },
  {
    title: 'a verdict replaced',
    does: [removed('service-ips', PLAIN), added('service-ips', `${PLAIN} : drop`)],
    objects: 1,
  },
  {
    title: 'a comment replaced',
    does: [removed('service-ips', PLAIN), added('service-ips', `${PLAIN} comment "theirs" : goto pick-2`)],
    objects: 1,
  },
  { title: 'a verdict of others added', does: [added('service-ips', '10.96.7.7 . tcp . 80 : drop')], objects: 1 },
  { title: 'all verdicts flushed', does: [`flush map ${OURS} service-ips`], objects: 9 },
  { title: 'a NodePort’s verdict removed', does: [removed('service-nodeports', 'tcp . 30222')], objects: 1 },
  { title: 'an inside verdict removed', does: [removed('inside-ips', LOCAL)], objects: 1 },
  { title: 'a local verdict removed', does: [removed('local-ips', LOCAL)], objects: 1 },
  { title: 'a firewall’s verdict removed', does: [removed('firewall-ips', RANGED)], objects: 1 },
  { title: 'a source range removed', does: [removed('source-ranges', `${RANGED} . 10.200.0.0/16`)], objects: 1 },
  { title: 'a source range of others added', does: [added('source-ranges', `${RANGED} . 192.0.2.0/24`)], objects: 1 },
  { title: 'a refusal removed', does: [removed('no-endpoint-services', '10.96.1.225 . tcp . 80')], objects: 1 },
  { title: 'a NodePort’s refusal removed', does: [removed('no-endpoint-nodeports', 'tcp . 30225')], objects: 1 },
  { title: 'the first endpoint removed', does: [removed('endpoints', `${PLAIN} . 0`)], objects: 1 },
  { title: 'the last endpoint removed', does: [removed('endpoints', `${PLAIN} . 1`)], objects: 1 },
  {
    title: 'an endpoint replaced',
    does: [removed('endpoints', `${PLAIN} . 1`), added('endpoints', `${PLAIN} . 1 : 10.200.1.22 . 8080`)],
    objects: 1,
  },
  { title: 'an endpoint of others added', does: [added('endpoints', `${PLAIN} . 2 : 10.200.1.22 . 8080`)], objects: 1 },
  { title: 'a NodePort’s endpoint removed', does: [removed('nodeport-endpoints', 'tcp . 30222 . 0')], objects: 1 },
  { title: 'a local endpoint removed', does: [removed('local-endpoints', `${LOCAL} . 0`)], objects: 1 },
  { title: 'affinity’s verdict removed', does: [removed('sticky-ips', STICKY)], objects: 1 },
  {
    title: 'affinity’s endpoint removed',
    does: [removed('sticky-endpoints', `${STICKY} . 10.200.0.11 . 8080`)],
    objects: 1,
  },
  {
    title: 'an endpoint said to have left',
    does: [added('departed-endpoints', `${STICKY} . 10.200.0.11 . 8080`)],
    objects: 0,
  },
  {
    title: 'a client remembered with an endpoint of others',
    does: [added('affinity', `192.0.2.9 . ${STICKY} timeout 1h : 10.200.1.22 . 8080`)],
    objects: 0,
  },
];

const CHAIN_EDITS: readonly Edit[] = [
  { title: 'a class’ chain flushed', does: [flushed('pick-2')], objects: 1 },
  { title: 'a base chain flushed', does: [flushed('nat-prerouting')], objects: 1 },
  { title: 'a rule deleted', does: [`delete rule ${OURS} services handle RULES(services,service-ips)`], objects: 1 },
  { title: 'a rule of others inserted', does: [`insert rule ${OURS} services ip saddr 192.0.2.9 accept`], objects: 1 },
  { title: 'a rule of others appended', does: [`add rule ${OURS} pick-1 counter drop`], objects: 1 },
  {
    title: 'a rule replaced',
    does: [`replace rule ${OURS} masquerading handle RULES(masquerading,masquerade) counter accept`],
    objects: 1,
  },
  {
    title: 'a policy changed',
    does: [`add chain ${OURS} filter-forward { policy drop; }`],
    objects: 1,
  },
  {
    title: 'a base chain deleted',
    does: [flushed('filter-input'), `delete chain ${OURS} filter-input`],
    objects: 1,
  },
  {
    title: 'a base chain moved to another priority',
    does: [
      flushed('filter-input'),
      `delete chain ${OURS} filter-input`,
      `add chain ${OURS} filter-input { type filter hook input priority 7; policy accept; }`,
    ],
    objects: 1,
  },
  {
    title: 'a chain deleted with what leads to it',
    does: [
      ...['filter-prerouting-pre-dnat', 'filter-output-pre-dnat', 'firewall-check'].map(flushed),
      `delete chain ${OURS} firewall-check`,
    ],
    objects: 3,
  },
  {
    title: 'a chain made a base chain',
    does: [
      ...['filter-prerouting-pre-dnat', 'filter-output-pre-dnat', 'firewall-check'].map(flushed),
      `delete chain ${OURS} firewall-check`,
      `add chain ${OURS} firewall-check { type filter hook input priority 7; policy drop; }`,
    ],
    objects: 3,
  },
  { title: 'a chain renamed', does: [`rename chain ${OURS} reject-chain theirs`], objects: 4 },
  { title: 'a chain of others added', does: [`add chain ${OURS} theirs`], objects: 1 },
  {
    title: 'a base chain of others added',
    does: [`add chain ${OURS} theirs { type filter hook input priority 5; policy drop; }`],
    objects: 1,
  },
];

const SET_EDITS: readonly Edit[] = [
  { title: 'a set of others added', does: [`add set ${OURS} theirs { type ipv4_addr; }`], objects: 1 },
  {
    title: 'a set deleted with what looks into it',
    does: [flushed('firewall'), `delete set ${OURS} source-ranges`],
    objects: 3,
  },
  {
    title: 'a map deleted with what looks into it',
    does: [flushed('firewall-check'), `delete map ${OURS} firewall-ips`],
    objects: 3,
  },
  {
    title: 'a map’s time-out changed',
    does: [
      `add map ${OURS} affinity { type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; size 1048576; flags dynamic,timeout; timeout 5s; }`,
    ],
    objects: 1,
  },
  {
    title: 'a map’s size changed',
    does: [
      `add map ${OURS} affinity { type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; size 16; flags dynamic,timeout; }`,
    ],
    objects: 1,
  },
];

const TABLE_EDITS: readonly Edit[] = [
  { title: 'the table deleted', does: [`delete table ${OURS}`], objects: ALL },
  {
    title: 'a map of another shape in the place of ours',
    does: [
      flushed('firewall-check'),
      `delete map ${OURS} firewall-ips`,
      `add map ${OURS} firewall-ips { type ipv4_addr : verdict; }`,
    ],
    objects: ALL,
  },
  { title: 'the table put to sleep', does: [`add table ${OURS} { flags dormant; }`], objects: 1 },
];

const EDITS = [...ELEMENT_EDITS, ...CHAIN_EDITS, ...SET_EDITS, ...TABLE_EDITS];

const withHandles = (text: string, rules: Rules): string =>
  text.replace(/RULES\((\S+),(\S+)\)/, (_, chain, part) => {
    const found = rules.find((rule) => rule.chain === chain && rule.text.includes(part));
    if (found === undefined) throw new Error(`no rule with ${part} in ${chain}`);
    return String(found.handle);
  });

describeWith([...LAB_NEEDS, newer], 'mode nftables', () => {
  let bench: Bench;
  let proxy: NodeProxy;
  let total = 0;
  const nft = async (text: string): Promise<string> =>
    (await bench.lab.run('node1', NFT, ['-f', '-'], { input: `${text}\n` })).stdout;
  const listed = async (): Promise<string> => {
    const { stdout } = await bench.lab.run('node1', NFT, ['-j', 'list', 'ruleset']);
    return linesOfRuleset(stdout).join('\n');
  };
  const rulesOf = async (): Promise<Rules> => {
    const { stdout } = await bench.lab.run('node1', NFT, ['-j', 'list', 'table', ...OURS.split(' ')]);
    return rulesWithHandles(stdout);
  };
  beforeAll(async () => {
    bench = await startBench();
    await nft(THEIRS);
    ({ proxy, written: total } = await startEdited(bench, FLAGS));
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    await bench?.remove();
  });

  it.for(EDITS)('$title', async ({ does, objects }, { annotate }) => {
    const former = total;
    const rules = await rulesOf();
    const edit = (): Promise<string> => nft(withHandles(does.join('\n'), rules));
    const { written, tookMs } = await repairOf({ lab: bench.lab, listed, edit, withinMs: WITHIN_MS });
    total = written;
    await annotate(`repaired after ${tookMs} ms`);
    expect(written - former).toBe(objects);
  });
});
