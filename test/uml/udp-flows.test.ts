/** UDP flows that outlive their endpoint, and session affinity, in mode ipvs. */
import { afterAll, beforeAll } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { addClients, affinityTest } from '../conformance/affinity.ts';
import { udpFlowTests } from '../conformance/udp-flows.ts';
import { type Bench, startBench } from '../kernel/cluster.ts';

/** A second there is many here. */
const PATIENCE_MS = 20_000;
const ANSWER_MS = 2_000;
const START_MS = 120_000;

let bench: Bench;
let proxy: NodeProxy | undefined;
beforeAll(async () => {
  bench = await startBench();
  await addClients(bench);
  proxy = bench.cluster.startProxy('node1', ['--proxy-mode=ipvs', '--cluster-cidr=10.200.0.0/16,fd20::/48']);
  await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/, START_MS);
});
afterAll(async () => {
  await proxy?.stop();
  await bench?.remove();
});

udpFlowTests('ipvs', () => ({ bench, patienceMs: PATIENCE_MS, answerMs: ANSWER_MS, first: 1 }));
affinityTest('ipvs', () => ({ bench, seconds: 30, number: 10 }));
