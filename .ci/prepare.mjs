#!/usr/bin/env node
// Makes a bare clone ready: node modules, the programs that tests and demo run, the built program.
// Plain JavaScript, and only node's own modules: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installGuestKernel } from './guest-kernel.mjs';
import { installNewerNft } from './newer-nft.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const FLOOR = [20, 19];
/** program → Debian package: what the demo runs. */
const FOR_DEMO = {
  ip: 'iproute2',
  sysctl: 'procps',
  iptables: 'iptables',
};
/** What the tests and the measurements run besides. */
const FOR_TESTS = {
  'iptables-legacy': 'iptables',
  'iptables-nft': 'iptables',
  openssl: 'openssl',
  'linux.uml': 'user-mode-linux',
  modprobe: 'kmod',
  ipset: 'ipset',
  ipvsadm: 'ipvsadm',
  nft: 'nftables',
  conntrack: 'conntrack',
  socat: 'socat',
  cc: 'gcc libc6-dev',
  'qemu-system-x86_64': 'qemu-system-x86',
  cpio: 'cpio',
};
const isForDemo = process.argv.includes('demo');
const PROGRAMS = isForDemo ? FOR_DEMO : { ...FOR_DEMO, ...FOR_TESTS };

const fail = (message) => {
  process.stderr.write(`${message}\n`);
  process.exit(1);
};

const run = (command, args, options = {}) => {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (status !== 0) fail(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`);
};

const isNewer = (a, b) => !existsSync(b) || statSync(a).mtimeMs > statSync(b).mtimeMs;

const checkNode = () => {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < FLOOR[0] || (major === FLOOR[0] && minor < FLOOR[1])) {
    fail(`Node.js ${FLOOR.join('.')} or newer is needed; this is ${process.versions.node}`);
  }
};

const installModules = () => {
  const lock = join(root, 'package-lock.json');
  if (!isNewer(lock, join(root, 'node_modules/.package-lock.json'))) return;
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
};

// /sbin and /usr/sbin are where Debian keeps these, and not on every user's PATH
const path = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
const isMissing = (program) => !path.some((dir) => dir !== '' && existsSync(join(dir, program)));

const installPrograms = () => {
  const missing = Object.keys(PROGRAMS).filter(isMissing);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap((program) => PROGRAMS[program].split(' ')))];
  const apt = !isMissing('apt-get');
  if (process.getuid?.() !== 0 || !apt) {
    fail(
      `missing programs: ${missing.join(', ')}. On Debian or Ubuntu, as root: apt-get install ${packages.join(' ')}`,
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
};

/** No reason to stop: the test that needs it says so too, and fails under CI. */
const tryTo = (install, whatFor) => {
  try {
    install(root);
  } catch (error) {
    process.stderr.write(`missing for ${whatFor}: ${error.message}\n`);
  }
};

checkNode();
installModules();
installPrograms();
if (!isForDemo) {
  tryTo(installNewerNft, 'test/kernel/nft-oracle.test.ts (an nft of Debian 13)');
  tryTo(installGuestKernel, 'test/vm (a kernel for a virtual machine)');
}
run(process.execPath, [join(root, '.ci/build.mjs')]);
