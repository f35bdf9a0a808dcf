import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readContents, untilOthers } from '../../src/commands/file-watch.ts';

const TIMING = { periodMs: 5, settleMs: 30 };
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pointsman-watch-'));
  file = join(folder, 'file');
  await writeFile(file, 'one');
  return () => rm(folder, { recursive: true });
});

const watch = async (path = file) => {
  const stop = new AbortController();
  const others = untilOthers(await readContents([path]), TIMING, stop.signal);
  return { stop, next: others.then((contents) => contents?.get(path)) };
};

describe('watching files', () => {
  it('notices other contents', async () => {
    const { next } = await watch();
    await writeFile(file, 'two');
    expect(await next).toEqual({ text: 'two' });
  });

  it('notices a link in the path that leads elsewhere', async () => {
    for (const name of ['a', 'b']) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'file'), `in ${name}`);
    }
    await symlink('a', join(folder, 'data'));
    const { next } = await watch(join(folder, 'data', 'file'));
    await symlink('b', join(folder, 'new'));
    await rename(join(folder, 'new'), join(folder, 'data'));
    expect(await next).toEqual({ text: 'in b' });
  });

  it('waits for whoever writes to end', async () => {
    const { next } = await watch();
    for (let i = 0; i < 8; i += 1) {
      await writeFile(file, `part ${i}`);
      await sleep(10);
    }
    expect(await next).toEqual({ text: 'part 7' });
  });

  it('is not told of what is as before: touched, or changed and changed back', async () => {
    const { next, stop } = await watch();
    await utimes(file, new Date(), new Date());
    await sleep(20);
    await writeFile(file, 'two');
    await sleep(15);
    await writeFile(file, 'one');
    await sleep(60);
    stop.abort();
    expect(await next).toBeUndefined();
  });

  it('notices a file that is gone, and one that comes', async () => {
    const { next } = await watch();
    await rm(file);
    expect(await next).toEqual({ unreadable: 'ENOENT' });
    const again = await watch();
    await writeFile(file, 'three');
    expect(await again.next).toEqual({ text: 'three' });
  });

  it('ends when aborted', async () => {
    const { next, stop } = await watch();
    stop.abort();
    expect(await next).toBeUndefined();
  });
});
