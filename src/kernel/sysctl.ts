/** Sysctls below /proc/sys (proc(5)) and module parameters below /sys, by file. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Sysctls {
  /** Present value; undefined when the kernel lacks the setting. */
  read(path: string): Promise<string | undefined>;
  /** Writes a value. Throws the kernel's error. */
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
