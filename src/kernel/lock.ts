/** Holder of a lock file, named in the error of a tool that waited in vain for the lock. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';

export const XTABLES_LOCK = '/run/xtables.lock';

/** Process that holds the lock (`pid 123 (iptables -L)`); undefined when none is found. */
export const lockHolder = async (path: string = XTABLES_LOCK): Promise<string | undefined> => {
  try {
    const { ino } = await stat(path);
    const locks = await readFile('/proc/locks', 'utf8');
    const held = locks.split('\n').find((line) => line.includes(`:${ino} `) && !line.includes('->'));
    const pid = held === undefined ? await openBy(path) : held.trim().split(/\s+/)[4];
    return pid === undefined ? undefined : `pid ${pid} (${await commandOf(pid)})`;
  } catch {
    return undefined;
  }
};

/** Process that has the file open: some sandboxed kernels list no locks. */
const openBy = async (path: string): Promise<string | undefined> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && name !== String(process.pid));
  for (const pid of pids) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    if (targets.includes(path)) return pid;
  }
  return undefined;
};

const commandOf = async (pid: string): Promise<string> => {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return line.split('\0').join(' ').trim() || 'unknown command';
};
