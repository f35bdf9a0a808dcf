/** Kernel settings as kernel objects: set when wanted, never reset. */
import type { KernelObject } from '../../dataplane/contract.ts';
import type { Sysctls } from '../../kernel/sysctl.ts';

/** A kernel setting, by its path below /proc/sys. */
export interface Sysctl extends KernelObject {
  readonly kind: 'sysctl';
  readonly path: string;
}

export const sysctl = (path: string, value: number): Sysctl => ({
  kind: 'sysctl',
  id: `sysctl ${path}`,
  content: String(value),
  stays: true,
  path,
});

/** Formats a setting as sysctl(8) takes it. */
export const formatSysctl = ({ path, content }: Sysctl): string => `${path.replaceAll('/', '.')} = ${content}`;

/** Reads the settings at these paths. Paths that the kernel lacks are left out. */
export const readSysctls = async (files: Sysctls, paths: readonly string[]): Promise<readonly Sysctl[]> => {
  const values = await Promise.all(paths.map(async (path) => ({ path, value: await files.read(path) })));
  return values.flatMap(({ path, value }) => (value === undefined ? [] : [sysctl(path, Number(value))]));
};
