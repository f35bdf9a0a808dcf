/** Writes kernel settings. Apart from sysctl.ts, which pure files import. */
import type { Sysctls } from '../../kernel/sysctl.ts';
import { refused } from '../kernel-error.ts';
import { formatSysctl, type Sysctl } from './sysctl.ts';

/** Writes one setting. Throws KernelError. */
export const writeSysctl = async (files: Sysctls, object: Sysctl): Promise<void> => {
  try {
    await files.write(object.path, object.content);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `kernel setting ${formatSysctl(object)}: ${reason}`;
    throw refused([{ cause: { scope: 'environment' }, message, suspects: [] }]);
  }
};
