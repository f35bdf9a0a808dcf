/** Kernel settings, by their files below /proc/sys (proc(5)). */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KernelError } from '../../dataplane/contract.ts';

export interface Sysctls {
  /** Undefined when the kernel has no such setting. */
  read(path: string): Promise<string | undefined>;
  /** Throws KernelError. */
  write(path: string, value: string): Promise<void>;
}

const ROOT = '/proc/sys';

const readSysctl = async (path: string): Promise<string | undefined> => {
  const text = await readFile(join(ROOT, path), 'utf8').catch(() => undefined);
  return text?.trim();
};

const writeSysctl = async (path: string, value: string): Promise<void> => {
  try {
    await writeFile(join(ROOT, path), value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KernelError('environment', `kernel setting ${path.replaceAll('/', '.')} = ${value}: ${reason}`);
  }
};

export const PROC_SYS: Sysctls = { read: readSysctl, write: writeSysctl };
