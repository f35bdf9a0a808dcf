/** Requirements of the demo on its machine, checked before anything is created. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { toolEnvironment } from '../network/tools.ts';

const PROGRAMS = {
  ip: 'iproute2',
  bridge: 'iproute2',
  sysctl: 'procps',
  iptables: 'iptables',
  ip6tables: 'iptables',
  unshare: 'util-linux',
};

const isInstalled = (program: string): boolean =>
  toolEnvironment()
    .PATH.split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, program)));

/** Commands that must succeed in a new namespace, and what is missing otherwise; only the first failure is reported. */
const TRIALS: readonly (readonly [command: readonly string[], need: string])[] = [
  [['true'], 'the right to make network and mount namespaces (in a container: --privileged)'],
  [['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1'], 'a /proc/sys that can be written (in a container: --privileged)'],
  [['iptables', '-t', 'nat', '-S'], 'a kernel with the nat table of iptables'],
  [['ip6tables', '-t', 'nat', '-S'], 'a kernel with IPv6 and the nat table of ip6tables'],
];

/**
 * Runs the commands: neither uid 0 nor an installed program proves that the kernel permits and supports it. Leaves
 * nothing behind.
 */
const firstFailure = async (signal: AbortSignal): Promise<string | undefined> => {
  for (const [command, need] of TRIALS) {
    const { failed } = await execa('unshare', ['--net', '--mount', ...command], {
      reject: false,
      cancelSignal: signal,
      env: toolEnvironment(),
    });
    signal.throwIfAborted();
    if (failed) return need;
  }
  return undefined;
};

/** All missing requirements, worded to follow "needs". */
export const findMissing = async (signal: AbortSignal): Promise<readonly string[]> => {
  if (process.platform !== 'linux') return [`Linux, and this is ${process.platform}`];
  const missing = [
    ...(process.getuid?.() === 0 ? [] : ['root, as it makes network namespaces']),
    ...Object.entries(PROGRAMS)
      .filter(([program]) => !isInstalled(program))
      .map(([program, debianPackage]) => `the program ${program} (Debian package ${debianPackage})`),
  ];
  if (missing.length > 0) return missing;
  const failure = await firstFailure(signal);
  return failure === undefined ? [] : [failure];
};
