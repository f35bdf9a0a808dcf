/** What the demo needs of its machine, asked before anything is made. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { toolEnvironment } from '../network/tools.ts';

const PROGRAMS = { ip: 'iproute2', bridge: 'iproute2', sysctl: 'procps', iptables: 'iptables', ip6tables: 'iptables' };

const isInstalled = (program: string): boolean =>
  toolEnvironment()
    .PATH.split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, program)));

/** Root by name is not enough: a container's often may not make namespaces, nor mount what keeps them. */
const mayMakeNamespaces = async (signal: AbortSignal): Promise<boolean> => {
  const { failed } = await execa('unshare', ['--net', '--mount', 'true'], { reject: false, cancelSignal: signal });
  return !failed;
};

/** Everything that is missing, each as in "the demo needs …". */
export const findMissing = async (signal: AbortSignal): Promise<readonly string[]> => {
  if (process.platform !== 'linux') return [`Linux (this is ${process.platform})`];
  if (process.getuid?.() !== 0) return ['root, as it makes network namespaces'];
  const programs = Object.entries(PROGRAMS).filter(([program]) => !isInstalled(program));
  return [
    ...programs.map(([program, debianPackage]) => `the program ${program} (Debian package ${debianPackage})`),
    ...(existsSync('/proc/sys/net/ipv6') ? [] : ['IPv6 in the kernel']),
    ...((await mayMakeNamespaces(signal))
      ? []
      : ['the right to make network and mount namespaces (a container gets it with --privileged)']),
  ];
};
