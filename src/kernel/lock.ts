/** Who holds a lock file: the question an operator asks when a tool has waited in vain for it. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';

export const XTABLES_LOCK = '/run/xtables.lock';

/** Describes the process that holds the lock (`pid 123 (iptables -L)`), or undefined when nobody is seen to. */
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

/** Some kernels (sandboxed ones) list no locks: whoever has the file open is the next best answer. */
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
