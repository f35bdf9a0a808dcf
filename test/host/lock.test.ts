/** A real lock on a file of our own, held by another process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockHolder } from '../../src/kernel/lock.ts';
import { makeScripts, type Scripts } from './scripts.ts';

let scripts: Scripts;
let path: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  scripts = await makeScripts();
  path = scripts.path('lock');
  await writeFile(path, '');
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  await scripts.remove();
});

/** Holds the lock from when this resolves on. */
const hold = async (kind = '--exclusive'): Promise<ChildProcess> => {
  const child = spawn('flock', [kind, '--no-fork', path, 'sh', '-c', 'echo held; exec sleep 60']);
  children.push(child);
  await once(child.stdout, 'data');
  // the shell has yet to become what the test looks for
  while (!(await readFile(`/proc/${child.pid}/cmdline`, 'utf8')).startsWith('sleep')) await sleep(2);
  return child;
};

describe('who holds a lock', () => {
  it('is said with what it runs', async () => {
    const child = await hold();
    expect(await lockHolder(path)).toBe(`pid ${child.pid} (sleep 60)`);
  });

  it('is nobody before it is taken, and when it is free again', async () => {
    expect(await lockHolder(path)).toBeUndefined();
    const child = await hold();
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await lockHolder(path)).toBeUndefined();
  });

  it('is not the one that waits for it', async () => {
    const child = await hold();
    const waiting = spawn('flock', [path, 'true']);
    children.push(waiting);
    await untilWaiting(waiting.pid);
    expect(await lockHolder(path)).toBe(`pid ${child.pid} (sleep 60)`);
  });

  it('is one of them when several share it', async () => {
    const pids = [await hold('--shared'), await hold('--shared')].map(({ pid }) => pid);
    const holder = await lockHolder(path);
    expect(pids.map((pid) => `pid ${pid} (sleep 60)`)).toContain(holder);
  });

  it('is nobody when there is no such file', async () => {
    expect(await lockHolder(scripts.path('absent'))).toBeUndefined();
  });
});

/** Until the process asks for the lock; where the kernel lists no locks, until it has the file open. */
const untilWaiting = async (pid: number | undefined): Promise<void> => {
  for (let isWaiting = false; !isWaiting; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const locks = await readFile('/proc/locks', 'utf8');
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const files = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    isWaiting = locks === '' ? files.includes(path) : new RegExp(`-> FLOCK .* ${pid} `).test(locks);
  }
};
