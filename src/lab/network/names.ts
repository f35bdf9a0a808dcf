/**
 * The names of a lab's namespaces: whose they are can be read off them, even after their maker was killed.
 *
 * `pm-<pid>-<start>-<random>-<host>`: process ids come round again, a pair of id and start time does not. Owns the
 * spelling and the question "is its maker alive?"; creates and removes nothing.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** Where iproute2 keeps named namespaces. */
export const NETNS_FOLDER = '/run/netns';

const NAME = /^pm-(\d+)-([0-9a-z]+)-[0-9a-f]+-/;
/** Of /proc/PID/stat, counted from the field after the program's name, which may contain blanks itself. */
const START_FIELD = 19;

/** When a process began, in the kernel's ticks since boot; undefined when there is none (or none that we may see). */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_FIELD];
    return ticks === undefined ? undefined : Number(ticks).toString(36);
  } catch {
    return undefined;
  }
};

/** A fresh prefix for one lab of a process, by default this one. */
export const newPrefix = (pid: number = process.pid): string =>
  `pm-${pid}-${startOf(pid) ?? '0'}-${randomBytes(3).toString('hex')}-`;

/** All named namespaces of the machine, whoever made them. */
export const listNamespaces = (): readonly string[] => {
  try {
    return readdirSync(NETNS_FOLDER).sort();
  } catch {
    return []; // the folder comes with the first named namespace
  }
};

/** Whether a namespace, or a folder with such a name, is a lab's whose process is gone. */
export const isLeftover = (name: string): boolean => {
  const [, pid, start] = NAME.exec(name) ?? [];
  return pid !== undefined && startOf(Number(pid)) !== start;
};
