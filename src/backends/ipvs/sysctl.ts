/** Kernel settings, by their files below /proc/sys (proc(5)). */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KernelError } from '../../dataplane/contract.ts';

const ROOT = '/proc/sys';

/** Undefined when the kernel has no such setting. */
export const readSysctl = async (path: string): Promise<string | undefined> => {
  const text = await readFile(join(ROOT, path), 'utf8').catch(() => undefined);
  return text?.trim();
};

/** Throws KernelError. */
export const writeSysctl = async (path: string, value: string): Promise<void> => {
  try {
    await writeFile(join(ROOT, path), value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new KernelError('environment', `kernel setting ${path.replaceAll('/', '.')} = ${value}: ${reason}`);
  }
};
