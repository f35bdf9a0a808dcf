import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { writeOomScore } from '../../src/kernel/oom-score.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pointsman-oom-'));
  return () => rm(folder, { recursive: true });
});

describe('the OOM score', () => {
  it('is written where it is another one', async () => {
    const file = join(folder, 'oom_score_adj');
    await writeFile(file, '0\n');
    expect(await writeOomScore(-500, file)).toBeUndefined();
    expect(await readFile(file, 'utf8')).toBe('-500');
    await writeFile(file, '-500\n');
    expect(await writeOomScore(-500, file)).toBeUndefined();
    expect(await readFile(file, 'utf8')).toBe('-500\n');
  });

  it('that cannot be written is said, with what the kernel said', async () => {
    expect(await writeOomScore(5, join(folder, 'no', 'file'))).toContain('ENOENT');
  });
});
