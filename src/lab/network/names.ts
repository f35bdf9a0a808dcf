/**
 * Names of a lab's namespaces, which tell their process even after it was killed.
 *
 * `pm-<pid>-<start>-<random>-<host>`: a pid is reused, a pair of pid and start time is not. Owns the format and the
 * check whether the process lives; creates and removes nothing.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** Folder of iproute2's named namespaces. */
export const NETNS_FOLDER = '/run/netns';

const NAME = /^pm-(\d+)-([0-9a-z]+)-[0-9a-f]+-/;
/** Index of the start time in /proc/PID/stat, after the program's name, which may contain blanks. */
const START_FIELD = 19;

/** Start time of a process in ticks since boot; undefined when it is gone or invisible. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_FIELD];
    return ticks === undefined ? undefined : Number(ticks).toString(36);
  } catch {
    return undefined;
  }
};

/** New prefix for a lab of a process, by default this one. */
export const newPrefix = (pid: number = process.pid): string =>
  `pm-${pid}-${startOf(pid) ?? '0'}-${randomBytes(3).toString('hex')}-`;

/** All named namespaces of the machine. */
export const listNamespaces = (): readonly string[] => {
  try {
    return readdirSync(NETNS_FOLDER).sort();
  } catch {
    return []; // the folder is created with the first named namespace
  }
};

/** Whether a namespace or folder belongs to a lab whose process is gone. */
export const isLeftover = (name: string): boolean => {
  const [, pid, start] = NAME.exec(name) ?? [];
  return pid !== undefined && startOf(Number(pid)) !== start;
};
