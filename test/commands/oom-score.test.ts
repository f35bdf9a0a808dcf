import { readFile } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { setOomScore } from '../../src/commands/oom-score.ts';

const logged = () => ({ warn: vi.fn(), debug: vi.fn() });

describe('the OOM score', () => {
  it('of this process can be left as it is, without a word', async () => {
    const log = logged();
    await setOomScore(Number(await readFile('/proc/self/oom_score_adj', 'utf8')), log);
    expect([log.warn, log.debug].flatMap((one) => one.mock.calls)).toEqual([]);
  });

  it('that the kernel refuses is a warning where it was asked for', async () => {
    const log = logged();
    await setOomScore(2_000, log); // no such score
    expect(log.warn.mock.calls).toEqual([
      [{ oomScoreAdj: 2_000, error: expect.stringContaining('EINVAL') }, 'the OOM score stays as it is'],
    ]);
  });
});
