/**
 * Sysctls and module parameters of connection tracking, written once at start.
 *
 * kube-proxy exits when one cannot be written (read-only /proc, missing permission in a network namespace). Here each
 * failure is logged and the start goes on: a node without Services is worse than one with a small conntrack table.
 */
import { settingsBelow } from './sysctl.ts';

export interface KernelSetting {
  /** Absolute path of the file. */
  readonly path: string;
  readonly value: number;
}

export interface ConntrackOptions {
  /** Files whose present values are read first. */
  readonly paths: readonly string[];
  /** Chooses the settings to write, given the present values. */
  readonly choose: (present: ReadonlyMap<string, number>) => readonly KernelSetting[];
  /** Called with a message for each setting that could not be written. */
  readonly warn: (message: string) => void;
  /** Called instead of `warn` on a read-only file system, as in a container: another component has to set it. */
  readonly inform: (message: string) => void;
  /** Folder that contains /proc and /sys. */
  readonly root?: string;
}

/** Reads, chooses and writes; returns the settings that were written. */
export const applyConntrackSettings = async ({
  paths,
  choose,
  warn,
  inform,
  root = '/',
}: ConntrackOptions): Promise<readonly KernelSetting[]> => {
  const files = settingsBelow(root);
  const present = new Map<string, number>();
  for (const path of paths) {
    const text = await files.read(path);
    if (text !== undefined && /^\d+$/.test(text)) present.set(path, Number(text));
  }
  const written: KernelSetting[] = [];
  for (const setting of choose(present)) {
    const { path, value } = setting;
    try {
      await files.write(path, String(value));
      written.push(setting);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const now = present.get(path);
      const isReadOnly = (error as NodeJS.ErrnoException).code === 'EROFS';
      // a network namespace may hide the file: then no value is known to be wrong
      if (isReadOnly && now === undefined) continue;
      const tell = isReadOnly ? inform : warn;
      tell(
        `kernel setting ${nameOf(path)} cannot be set to ${value} and stays as it is (${now ?? 'unknown'}): ${reason}`,
      );
    }
  }
  return written;
};

/** Name as in sysctl(8); the path for a module parameter. */
const nameOf = (path: string): string =>
  path.startsWith('/proc/sys/') ? path.slice('/proc/sys/'.length).replaceAll('/', '.') : path;
