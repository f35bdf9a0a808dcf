/** One more Event, after others have caused a hundred times as many: it costs the same. Counted, as in growth.test.ts. */
import { expect, it } from 'vitest';
import type { ApiConnection } from '../../src/sources/apiserver/connection.ts';

// first: what is loaded later is counted block by block
const { countOperations } = await import('./counter.ts');
const { EventRecorder } = await import('../../src/sources/apiserver/recorder.ts');

const FEW = 20;
const TIMES = 100;

const record = (recorder: InstanceType<typeof EventRecorder>, name: string): void =>
  recorder.record({
    type: 'Warning',
    reason: 'FailedToStartServiceHealthcheck',
    action: 'Listen',
    note: `${name} has no port`,
    regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'ns', name },
  });

const costAfter = async (count: number): Promise<number> => {
  const silent = () => undefined;
  const log = { info: silent, warn: silent, error: silent, debug: silent };
  // nobody answers
  const connection = {} as ApiConnection;
  const timing = { withinMs: 1, backoffFirstMs: 60_000, backoffMaxMs: 60_000, shutdownGraceMs: 1 };
  const recorder = new EventRecorder({ connection, instance: 'node-1', log, timing });
  for (let i = 0; i < count; i += 1) record(recorder, `other-${i}`);
  const { runs, walked } = await countOperations(async () => record(recorder, 'one-more'));
  await recorder.stop();
  return runs + walked;
};

it('the same at a hundred times: Events of others', async () => {
  const few = await costAfter(FEW);
  const many = await costAfter(FEW * TIMES);
  expect(few).toBeGreaterThan(5);
  expect(many).toBeLessThanOrEqual(few * 1.1 + 50);
});
