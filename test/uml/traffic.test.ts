/** Traffic metrics of Services in mode ipvs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Ipvs } from '../../src/ipvs-netlink/ipvs.ts';
import type { CountedService } from '../../src/ipvs-netlink/types.ts';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { trafficTests } from '../conformance/traffic.ts';
import { type Bench, startBench } from '../kernel/cluster.ts';
import { inside } from '../kernel/nft-namespace.ts';

/** A second there is many here. */
const PATIENCE_MS = 120_000;
/** IPVS sums up every two seconds. */
const LAG_MS = 3_000;
const FLAGS = ['--proxy-mode=ipvs', '--cluster-cidr=10.200.0.0/16,fd20::/48', '--service-metrics=100'];

let bench: Bench;
let proxy: NodeProxy | undefined;
beforeAll(async () => {
  bench = await startBench();
  proxy = bench.cluster.startProxy('node1', FLAGS);
  for (const family of ['IPv4', 'IPv6']) {
    await proxy.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true`), PATIENCE_MS);
  }
});
afterAll(async () => {
  await proxy?.stop();
  await bench?.remove();
});

trafficTests('ipvs', 'ipvs', () => ({ bench, patienceMs: PATIENCE_MS, lagMs: LAG_MS, first: 1, moves: ['remote1'] }));

it('what the library lists as traffic is what ipvsadm lists', async () => {
  await sleep(LAG_MS);
  const ipvs = inside(bench.lab.host('node1').namespace, () => Ipvs.open());
  const found: CountedService[] = [];
  await ipvs.visitServices((service) => found.push(service));
  ipvs.close();
  const { stdout } = await bench.lab.run('node1', 'ipvsadm', ['-Ln', '--stats', '--exact']);
  const theirs = [...stdout.matchAll(/^(?:TCP|UDP|FWM) +\S+(?: IPv6)? +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)/gm)];
  const sorted = (lists: readonly (readonly unknown[])[]): readonly string[] =>
    lists.map((list) => list.join(' ')).sort();
  expect(theirs.length).toBeGreaterThan(5);
  expect(
    sorted(
      found.map(({ traffic: { connections, packetsIn, packetsOut, bytesIn, bytesOut } }) => [
        ...[connections, packetsIn, packetsOut, bytesIn, bytesOut],
      ]),
    ),
  ).toEqual(sorted(theirs.map(([, ...numbers]) => numbers)));
});
