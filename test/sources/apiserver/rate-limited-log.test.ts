import { expect, it } from 'vitest';
import { createBackoff } from '../../../src/sources/apiserver/backoff.ts';
import { createRateLimitedLog } from '../../../src/sources/apiserver/rate-limited-log.ts';
import { describeError } from '../../../src/sources/source.ts';
import { collectLog } from '../support.ts';

it('a rate-limited log repeats a message once per interval, with the count of those left out', () => {
  let now = 0;
  const log = collectLog();
  const limitedLog = createRateLimitedLog(log, 30_000, () => now);
  const complain = (kind: string, cause: string) => limitedLog.say('warn', { kind }, 'broken', new Error(cause));
  for (const kind of ['Node', 'Service', 'EndpointSlice']) complain(kind, 'refused');
  complain('Service', 'reset');
  now = 29_999;
  complain('Node', 'refused');
  now = 30_000;
  complain('Service', 'refused');
  expect(log.lines.map(({ fields }) => fields)).toEqual([
    { kind: 'Node', error: 'refused' },
    { kind: 'Service', error: 'reset' },
    { kind: 'Service', error: 'refused', repeated: 3 },
  ]);
});

it('back-off doubles up to its bound, with jitter, and starts afresh after health', () => {
  let now = 0;
  const timing = { backoffFirstMs: 800, backoffMaxMs: 30_000, healthyMs: 120_000 };
  const backoff = createBackoff(
    timing,
    () => now,
    () => 0.5,
  );
  const wait = (): number => {
    const delay = backoff();
    now += delay;
    return delay;
  };
  expect(Array.from({ length: 8 }, wait)).toEqual([400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
  now += 120_000;
  expect(wait()).toBe(15_000);
  now += 120_001;
  expect(wait()).toBe(400);
});

it('errors are described in a line, even those of node that have no message', () => {
  expect(describeError(new Error('plain'))).toBe('plain');
  expect(describeError('text')).toBe('text');
  const refused = Object.assign(new Error(''), { code: 'ECONNREFUSED' });
  expect(describeError(refused)).toBe('ECONNREFUSED');
  expect(describeError(new AggregateError([refused, new Error('second')]))).toBe('ECONNREFUSED; second');
});
