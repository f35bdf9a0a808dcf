/**
 * Kernel objects of mode ipvs edited by others, with the tools that people use: each is as before after the next
 * look, nothing is written but what was edited, and what is beside it stays.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { type Bench, startBench } from '../kernel/cluster.ts';
import { repairOf, startEdited } from '../kernel/edits.ts';

const FLAGS = ['--proxy-mode=ipvs', '--ipvs-sync-period=2s'];
const WITHIN_MS = 120_000;
const ANSWER_MS = 60_000;

/** A virtual server, a set, chains and rules of somebody else's. */
const THEIRS = `
ip link add dummy7 type dummy && ip address add 192.0.2.7/32 dev dummy7
ipvsadm -A -t 192.0.2.7:99 -s rr && ipvsadm -a -t 192.0.2.7:99 -r 192.0.2.8:99 -m
ipset create THEIRS hash:ip && ipset add THEIRS 192.0.2.9
iptables -N THEIRS && iptables -A THEIRS -m set --match-set THEIRS src -j ACCEPT && iptables -I INPUT -j THEIRS
iptables -t nat -N THEIRS && iptables -t nat -I PREROUTING -j THEIRS`;

/** All of it, in an order of its own; time stamps and counters left out. */
const LIST = `
ipvsadm -Sn | sort
ipset save | sed 's/ initval 0x[0-9a-f]*//' | sort
ip -o address show dev kube-ipvs0 | sed 's/^[0-9]*: //' | sort
ip -o address show dev dummy7 | sed 's/^[0-9]*: //' | grep 'inet ' | sort
iptables-save | sed -e '/^#/d' -e 's/\\[[0-9]*:[0-9]*\\]//'
ip6tables-save | sed -e '/^#/d' -e 's/\\[[0-9]*:[0-9]*\\]//'`;

/** Edits that have nothing to do with each other, made one behind the other: this kernel is slow. */
interface Edits {
  readonly title: string;
  /** Each with how many kernel objects are written for it. */
  readonly edits: readonly (readonly [does: string, objects: number])[];
}

const POD = '10.200.0.11:8080';
/** The first virtual server that is found by a mark, and the first entry that sets one. */
const MARK = '$(ipvsadm -Sn | grep -m1 -e "-A -f" | cut -d" " -f3)';
const MARKED = '$(ipset save KUBE-EXTERNAL-POLICY-MARK | grep -m1 ^add | cut -d" " -f3)';

const GROUPS: readonly Edits[] = [
  {
    title: 'virtual servers and real servers deleted, changed and added',
    edits: [
      ['ipvsadm -D -t 10.96.1.220:80', 3],
      ['ipvsadm -D -t 10.250.0.1:30222', 3],
      [`ipvsadm -D -f ${MARK}`, 2],
      ['ipvsadm -E -t 10.96.1.222:80 -s rr -p 60', 1],
      ['ipvsadm -A -t 10.96.1.221:81 -s rr', 1],
      [`ipvsadm -d -t 10.96.1.223:80 -r ${POD}`, 1],
      ['ipvsadm -a -t 10.96.1.223:80 -r 10.200.1.22:8080 -m', 1],
      ['ipvsadm -e -t 10.96.1.224:80 -r 10.200.1.21:8080 -m -w 5', 1],
      [`ipvsadm -e -t 198.18.1.222:80 -r ${POD} -m -w 0`, 1],
    ],
  },
  {
    title: 'addresses and entries removed and added, a mark and its record among them',
    edits: [
      ['ip address del 10.96.1.220/32 dev kube-ipvs0', 1],
      ['ip address add 10.96.7.7/32 dev kube-ipvs0', 1],
      ['ipset del KUBE-CLUSTER-IP 10.96.1.221,tcp:80', 1],
      ['ipset add KUBE-CLUSTER-IP 10.96.7.8,tcp:80', 1],
      ['ipset del KUBE-LOAD-BALANCER-SOURCE-CIDR 198.19.1.222,tcp:80,10.250.0.0/24', 1],
      [`ipset del KUBE-EXTERNAL-POLICY-MARK ${MARKED}`, 1],
      ['ipset del KUBE-EXTERNAL-POLICY-OWNER 10.96.1.223,tcp:80', 1],
    ],
  },
  {
    title: 'a set swapped for a smaller one, and one destroyed that no rule looks into',
    edits: [
      ['ipset create OTHER hash:ip,port maxelem 100 && ipset swap OTHER KUBE-CLUSTER-IP && ipset destroy OTHER', 7],
      ['ipset destroy KUBE-EXTERNAL-POLICY-OWNER', 3],
    ],
  },
  {
    title: 'rules and jumps deleted and added, chains flushed',
    edits: [
      ['iptables -t nat -D PREROUTING -j KUBE-SERVICES', 1],
      ['iptables -t nat -F KUBE-SERVICES', 1],
      ['iptables -t nat -D KUBE-POSTROUTING 1', 1],
      ['iptables -I KUBE-FORWARD -s 192.0.2.9/32 -j DROP', 1],
      ['iptables -t mangle -F KUBE-IPVS-MARK', 1],
    ],
  },
];

let bench: Bench;
let proxy: NodeProxy;
let total = 0;
const shell = async (script: string): Promise<string> =>
  (await bench.lab.run('node1', 'sh', ['-ec', script], { timeoutMs: ANSWER_MS })).stdout;

beforeAll(async () => {
  bench = await startBench();
  await shell(THEIRS);
  ({ proxy, written: total } = await startEdited(bench, FLAGS, ANSWER_MS));
});
afterAll(async () => {
  await proxy?.stop('SIGKILL');
  await bench?.remove();
});

describe('what others edit', () => {
  it.for(GROUPS)('$title', async ({ edits }) => {
    const former = total;
    const does = edits.map(([text]) => text).join('\n');
    const edit = { lab: bench.lab, listed: () => shell(LIST), edit: () => shell(does), withinMs: WITHIN_MS };
    const { written } = await repairOf(edit);
    total = written;
    expect(written - former).toBe(edits.reduce((sum, [, objects]) => sum + objects, 0));
  });
});
