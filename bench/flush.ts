/**
 * Time for which a Service is unserved after a flush of the ruleset, while endpoints keep changing. Mode nftables only:
 * the others check once a sync period.
 */

import { serviceObjects } from '../src/lab/many.ts';
import { packageFile } from '../src/lab/network/entry.ts';
import { PROBED, probed } from './change.ts';
import { cleanUp } from './start.ts';
import { show, sleep, startProxy, type TestBed, type Variant } from './test-bed.ts';

const ROUNDS = 5;
const PAUSE_MS = 20;
const REST_MS = 2_000;
const GIVE_UP_MS = 60_000;

export const flush = async (bed: TestBed, variant: Variant, services: number, endpoints: number): Promise<void> => {
  if (variant !== 'nftables') return;
  const server = await (await bed.lab.agent('pod1')).serve({ protocol: 'tcp', port: 8080, name: 'pod1' });
  const { service, slice, clusterIP } = probed(bed.lab.host('pod1').ipv4);
  await bed.cluster.put([service, slice]);
  const proxy = await startProxy(bed, variant);
  let isOver = false;
  const stream = (async () => {
    for (let i = 0; !isOver; i += 1) {
      const [, changed] = serviceObjects((i * 7) % services, endpoints, `10.201.${(i >> 8) & 255}.${i & 255}`);
      await bed.cluster.put([changed]);
      await sleep(PAUSE_MS);
    }
  })();
  const client = await bed.lab.agent('pod3');
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(REST_MS);
    await bed.lab.run('node1', process.execPath, [packageFile('dist/bench/inside/flush.js')]);
    const flushedAt = performance.now();
    for (;;) {
      const target = { protocol: 'tcp' as const, host: clusterIP, port: PROBED.port, timeoutMs: 50 };
      const [outcome] = await client.probe(target);
      if (outcome?.kind === 'answer') break;
      if (performance.now() - flushedAt > GIVE_UP_MS) throw new Error('the rules do not come back');
    }
    times.push(performance.now() - flushedAt);
  }
  isOver = true;
  await stream;
  const counted = [...proxy.log().matchAll(/"ipFamily":"IPv4",[^\n]*"sinceStart":(\d+)/g)].at(-1)?.[1] ?? '0';
  show(`flushed under 50 changes/s, nftables ${services}×${endpoints}`, {
    'served again after ms': times.map((ms) => ms.toFixed(0)).join(' '),
    'objects counted': counted,
  });
  await proxy.stop();
  await bed.cluster.delete([service, slice].map(({ kind, metadata }) => ({ kind, metadata })));
  await server.stop();
  await cleanUp(bed, variant);
};
