/**
 * Removal of namespaces: first their processes, then the namespaces with their links.
 *
 * The kernel is asked for what exists, so that the lab of a killed process and grandchildren of this one are removed
 * too.
 */
import { readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isLeftover, listNamespaces, NETNS_FOLDER } from './names.ts';
import { scaled } from './time-scale.ts';
import { ipBatch } from './tools.ts';

const KILL_DEADLINE_MS = scaled(10_000);
const KILL_PAUSE_MS = 10;

const identityOf = (path: string): string | undefined => {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined; // the process has just exited
  }
};

/** Processes in any of these namespaces. */
export const processesIn = (namespaces: readonly string[]): readonly number[] => {
  const ours = new Set(namespaces.flatMap((namespace) => identityOf(`${NETNS_FOLDER}/${namespace}`) ?? []));
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && ours.has(identityOf(`/proc/${entry}/ns/net`) ?? ''))
    .map(Number);
};

const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // the process has just exited
  }
};

/** Kills processes until none is left, as one may start another meanwhile. */
const killProcesses = async (namespaces: readonly string[]): Promise<void> => {
  const deadline = Date.now() + KILL_DEADLINE_MS;
  for (let left = processesIn(namespaces); left.length > 0; left = processesIn(namespaces)) {
    if (Date.now() > deadline) throw new Error(`processes ${left.join(', ')} cannot be ended`);
    for (const pid of left) kill(pid);
    await sleep(KILL_PAUSE_MS);
  }
};

/** Removes namespaces with their processes; a missing namespace is no error. Must not be interrupted. */
export const removeNamespaces = async (namespaces: readonly string[]): Promise<void> => {
  const there = new Set(listNamespaces());
  const doomed = namespaces.filter((namespace) => there.has(namespace));
  if (doomed.length === 0) return;
  await killProcesses(doomed);
  await ipBatch(
    doomed.map((namespace) => `netns delete ${namespace}`),
    { force: true, shielded: true },
  );
  const left = listNamespaces().filter((namespace) => doomed.includes(namespace));
  if (left.length > 0) throw new Error(`namespaces ${left.join(', ')} cannot be removed`);
};

/** Removes the namespaces and folders of labs whose process is gone; returns their names. */
export const removeLeftovers = async (): Promise<readonly string[]> => {
  const namespaces = listNamespaces().filter(isLeftover);
  await removeNamespaces(namespaces);
  const folders = readdirSync(tmpdir()).filter(isLeftover);
  for (const folder of folders) await rm(join(tmpdir(), folder), { recursive: true, force: true });
  return [...namespaces, ...folders];
};
