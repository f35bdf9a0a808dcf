/**
 * Brings kernel settings of connection tracking to what is wanted, once, before anything else is done.
 *
 * Where one cannot be written (a read-only /proc, a network namespace that may not), kube-proxy exits. Here that is told,
 * setting by setting, and the rest goes on: a node without Services is worse than one with a small conntrack table.
 */
import { settingsBelow } from './sysctl.ts';

export interface KernelSetting {
  /** Absolute. */
  readonly path: string;
  readonly value: number;
}

export interface ConntrackOptions {
  /** Files to be looked at. */
  readonly paths: readonly string[];
  /** What has to be written, given what is there. */
  readonly choose: (present: ReadonlyMap<string, number>) => readonly KernelSetting[];
  /** Hears of what could not be written. */
  readonly warn: (message: string) => void;
  /** Hears of what is otherwise in a file system that nobody here may write, as in a container: another is to set it. */
  readonly inform: (message: string) => void;
  /** Where /proc and /sys are. */
  readonly root?: string;
}

/** Gives what was written. */
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
      // a namespace may show none: then nothing says that it is not what it should be
      if (isReadOnly && now === undefined) continue;
      const tell = isReadOnly ? inform : warn;
      tell(
        `kernel setting ${nameOf(path)} cannot be set to ${value} and stays as it is (${now ?? 'unknown'}): ${reason}`,
      );
    }
  }
  return written;
};

/** As sysctl(8) has it; a parameter of a module by its path. */
const nameOf = (path: string): string =>
  path.startsWith('/proc/sys/') ? path.slice('/proc/sys/'.length).replaceAll('/', '.') : path;
