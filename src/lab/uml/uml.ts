/**
 * User Mode Linux: a kernel as a process, with modules that this machine's kernel may lack (ip_vs, dummy, sctp), on
 * this machine's file system. Needs the Debian package user-mode-linux, and root.
 *
 * /run, a temporary folder and the modules are private to the guest; other writes go to this machine's file system.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { packageFile } from '../network/entry.ts';
import { toolEnvironment } from '../network/tools.ts';

export interface UmlOptions {
  readonly command: readonly string[];
  readonly workingDirectory: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Modules to load first; by default those of mode ipvs and a lab. */
  readonly modules?: readonly string[];
  readonly memory?: string;
  readonly timeoutMs: number;
}

export interface UmlResult {
  /** Exit code; undefined when the kernel stopped before the command did. */
  readonly exitCode: number | undefined;
  /** Output of the command. */
  readonly output: string;
  /** Console of the kernel. */
  readonly console: string;
}

const KERNEL = 'linux.uml';
/**
 * Private temporary folder: on a shared /tmp each kernel would remove the other's folders as those of dead processes.
 */
const OWN_TMP = '/run/tmp';
const MODULE_FOLDER = '/usr/lib/uml/modules';
/** Modules that mode ipvs and a lab use. */
export const MODULES: readonly string[] = [
  'ipv6',
  'ip_vs',
  'ip_vs_rr',
  'dummy',
  'veth',
  'bridge',
  'sctp',
  'nf_conntrack_netlink',
  ...['ip', 'ip6'].flatMap((family) => ['nat', 'filter', 'mangle'].map((table) => `${family}table_${table}`)),
];

/** Runs a command as root in its own kernel until it exits. */
export const runInUml = async (options: UmlOptions): Promise<UmlResult> => {
  const folder = await mkdtemp(join(tmpdir(), 'pm-uml-'));
  try {
    await writeFile(join(folder, 'init'), initScript(folder, options), { mode: 0o755 });
    const child = execa(
      KERNEL,
      [
        `mem=${options.memory ?? '2G'}`,
        'root=/dev/root',
        'rootfstype=hostfs',
        'rootflags=/',
        'rw',
        `init=${join(folder, 'init')}`,
        'con=null',
        'con0=null,fd:1',
        'quiet',
      ],
      {
        stdin: 'ignore',
        all: true,
        reject: false,
        timeout: options.timeoutMs,
        forceKillAfterDelay: 2_000,
        env: { ...toolEnvironment(), ...(await shimEnvironment(folder)) },
      },
    );
    const { all } = await child;
    const [status, output] = await Promise.all(
      ['status', 'output'].map((name) => readFile(join(folder, name), 'utf8').catch(() => '')),
    );
    return {
      exitCode: status === undefined || status === '' ? undefined : Number(status),
      output: output ?? '',
      console: all ?? '',
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Script of process 1, which must not exit before power-off; the exit code is passed in a file. */
const initScript = (folder: string, options: UmlOptions): string => {
  const { command, workingDirectory, environment = {}, modules = MODULES } = options;
  const variables = Object.entries({ ...toolEnvironment(), HOME: '/root', TMPDIR: OWN_TMP, ...environment });
  const tools = ['iptables', 'ip6tables'].flatMap((tool) => ['', '-save', '-restore'].map((end) => ({ tool, end })));
  return `#!/bin/sh
exec </dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock /run/bin /run/tmp
${
  modules.length === 0
    ? ''
    : `mount -t tmpfs modules /lib/modules
mkdir -p /lib/modules/$(uname -r)
mount --bind ${MODULE_FOLDER}/$(uname -r) /lib/modules/$(uname -r)
for module in ${modules.join(' ')}; do modprobe $module; done`
}
${tools.map(({ tool, end }) => `ln -s /usr/sbin/${tool}-legacy${end} /run/bin/${tool}${end}`).join('\n')}
${variables.map(([name, value]) => `export ${name}=${quote(value)}`).join('\n')}
export PATH=/run/bin:$PATH
ip link set lo up
cd ${quote(workingDirectory)}
${command.map(quote).join(' ')} >${quote(join(folder, 'output'))} 2>&1
echo $? >${quote(join(folder, 'status'))}
sync
echo o >/proc/sysrq-trigger
sleep 60
`;
};

/** Environment with the shim preloaded, where the processor's extended state is larger than UML supports. */
const shimEnvironment = async (folder: string): Promise<Readonly<Record<string, string>>> => {
  const { stdout } = await execa('grep', ['-m1', '^flags', '/proc/cpuinfo'], { reject: false });
  if (!stdout.includes('amx_tile')) return {};
  const library = join(folder, 'shim.so');
  await execa('cc', ['-O2', '-shared', '-fPIC', '-o', library, packageFile('src/lab/uml/shim.c')]);
  return { LD_PRELOAD: library };
};
