/**
 * QEMU guest with Debian's kernel, which has both nf_tables and IPVS: this machine's may lack them, and User Mode Linux
 * does. Without hardware virtualization, on this machine's file system (virtiofs). Needs the Debian packages
 * qemu-system-x86 and qemu-system-common (or virtiofsd), root, and what .ci/guest-kernel.mjs fetches.
 *
 * /run, a temporary folder and the modules are private to the guest; other writes go to this machine's file system.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { packageFile } from '../network/entry.ts';
import { toolEnvironment } from '../network/tools.ts';

export interface VmOptions {
  readonly command: readonly string[];
  readonly workingDirectory: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly memory?: string;
  readonly processors?: number;
  readonly timeoutMs: number;
}

export interface VmResult {
  /** Exit code; undefined when the kernel stopped before the command did. */
  readonly exitCode: number | undefined;
  /** Output of the command. */
  readonly output: string;
  /** Console of the kernel, and output of QEMU and virtiofsd. */
  readonly console: string;
}

export const EMULATOR = 'qemu-system-x86_64';
const FILE_SERVERS = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'];
/** Folder of kernel, modules and initramfs, made by .ci/guest-kernel.mjs. */
const GUEST = 'node_modules/.cache/guest-kernel';
/**
 * Private temporary folder: on a shared /tmp each kernel would remove the other's folders as those of dead processes.
 */
const OWN_TMP = '/run/tmp';
/** Tag of the virtiofs share, as in the initramfs. */
const ROOT_TAG = 'root';

const MODULES: readonly string[] = [
  ...['ip_vs', 'ip_vs_rr', 'dummy', 'veth', 'bridge', 'sctp', 'nf_conntrack_netlink', 'nf_tables', 'nft_compat'],
  ...['ip', 'ip6'].flatMap((family) => ['nat', 'filter', 'mangle'].map((table) => `${family}table_${table}`)),
];

/** Name of a part that this machine lacks to start a guest, besides QEMU; undefined when nothing is missing. */
export const missingForVm = (): string | undefined => {
  try {
    packageFile(`${GUEST}/vmlinuz`);
  } catch {
    return 'a guest kernel (.ci/guest-kernel.mjs)';
  }
  return FILE_SERVERS.some((path) => existsSync(path)) ? undefined : 'virtiofsd';
};

/** Runs a command as root in its own kernel until it exits. */
export const runInVm = async (options: VmOptions): Promise<VmResult> => {
  const folder = await mkdtemp(join(tmpdir(), 'pm-vm-'));
  const files = serveFiles(join(folder, 'files.socket'));
  try {
    await writeFile(join(folder, 'init'), initScript(folder, options), { mode: 0o755 });
    await untilThere(join(folder, 'files.socket'), files);
    const { all } = await execa(EMULATOR, machine(folder, options), {
      stdin: 'ignore',
      all: true,
      reject: false,
      timeout: options.timeoutMs,
      forceKillAfterDelay: 2_000,
      env: toolEnvironment(),
    });
    const [status = '', output = ''] = await Promise.all(
      ['status', 'output'].map((name) => readFile(join(folder, name), 'utf8').catch(() => '')),
    );
    return { exitCode: status === '' ? undefined : Number(status), output, console: all ?? '' };
  } finally {
    files.kill();
    await files.catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  }
};

const serveFiles = (socket: string) => {
  const server = FILE_SERVERS.find((path) => existsSync(path)) ?? 'virtiofsd';
  const mount = ['-o', 'source=/', '-o', 'cache=always', '-o', 'sandbox=chroot'];
  return execa(server, [`--socket-path=${socket}`, ...mount], { all: true, reject: false, stdin: 'ignore' });
};

const untilThere = async (path: string, server: ReturnType<typeof serveFiles>): Promise<void> => {
  for (let tries = 100; tries > 0; tries -= 1) {
    if (existsSync(path)) return;
    if (server.exitCode !== null) throw new Error(`virtiofsd ended: ${(await server).all}`);
    await pause(50);
  }
  throw new Error('virtiofsd does not listen');
};

/**
 * Options of the machine. Emulation of newer vector instructions and of mitigations is slow: without both, and with
 * files cached by the guest, a test takes a fifth of the time.
 */
const machine = (folder: string, { memory = '2G', processors = 1 }: VmOptions): readonly string[] => [
  ...['-M', 'q35', '-accel', 'tcg', '-cpu', 'Nehalem', '-m', memory, '-smp', String(processors)],
  ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
  // virtiofsd and guest share the guest's memory
  ...['-object', `memory-backend-memfd,id=memory,size=${memory},share=on`, '-numa', 'node,memdev=memory'],
  ...['-chardev', `socket,id=files,path=${join(folder, 'files.socket')}`],
  ...['-device', `vhost-user-fs-pci,chardev=files,tag=${ROOT_TAG}`],
  ...['-kernel', packageFile(`${GUEST}/vmlinuz`), '-initrd', packageFile(`${GUEST}/initramfs`)],
  ...['-append', `console=ttyS0 quiet panic=-1 mitigations=off pointsman.init=${join(folder, 'init')}`],
];

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Script of process 1, which must not exit before power-off; the exit code is passed in a file. */
const initScript = (folder: string, { command, workingDirectory, environment = {} }: VmOptions): string => {
  const variables = Object.entries({ ...toolEnvironment(), HOME: '/root', TMPDIR: OWN_TMP, ...environment });
  return `#!/bin/sh
exec </dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock /run/tmp
mount -t tmpfs modules /lib/modules
mkdir -p /lib/modules/$(uname -r)
mount --bind ${quote(packageFile(`${GUEST}/modules`))} /lib/modules/$(uname -r)
for module in ${MODULES.join(' ')}; do modprobe $module; done
${variables.map(([name, value]) => `export ${name}=${quote(value)}`).join('\n')}
ip link set lo up
cd ${quote(workingDirectory)}
${command.map(quote).join(' ')} >${quote(join(folder, 'output'))} 2>&1
echo $? >${quote(join(folder, 'status'))}
sync
echo o >/proc/sysrq-trigger
sleep 60
`;
};
