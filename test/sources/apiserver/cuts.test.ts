/** Ten times in a row all watches are cut and the history is lost, as in a rolling restart of API servers. */
import { expect, it } from 'vitest';
import { DEFAULT_TIMING } from '../../../src/sources/apiserver/timing.ts';
import { service } from '../support.ts';
import { poll, useLab } from './lab.ts';

const lab = useLab({ version: 100, bookmarkEveryMs: 60_000 });

it('what changed meanwhile is here within two seconds, each time', { timeout: 60_000 }, async () => {
  const { sink } = await lab.synced({ ...DEFAULT_TIMING });
  const waits: number[] = [];
  for (let round = 0; round < 10; round += 1) {
    lab.server.inject({ fault: 'end-watches', abrupt: true });
    lab.server.put(service(`s${round}`));
    lab.server.compact();
    const cutAt = performance.now();
    await expect.poll(() => sink.names('Service'), { interval: 5, timeout: 10_000 }).toContain(`default/s${round}`);
    waits.push(performance.now() - cutAt);
    await poll(() => lab.server.openWatches).toBe(4);
  }
  waits.sort((a, b) => a - b);
  expect(waits[5]).toBeLessThan(2_000);
  expect(waits[9]).toBeLessThan(5_000);
});
