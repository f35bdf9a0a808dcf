/** Kernel settings, by their files: those below /proc/sys (proc(5)), and parameters of modules below /sys. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Sysctls {
  /** Undefined when the kernel has no such setting. */
  read(path: string): Promise<string | undefined>;
  /** Throws what the kernel said. */
  write(path: string, value: string): Promise<void>;
}

export const settingsBelow = (root: string): Sysctls => ({
  read: async (path) => {
    const text = await readFile(join(root, path), 'utf8').catch(() => undefined);
    return text?.trim();
  },
  write: (path, value) => writeFile(join(root, path), value),
});

export const PROC_SYS: Sysctls = settingsBelow('/proc/sys');
