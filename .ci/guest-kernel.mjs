/**
 * A kernel for src/lab/vm: Debian's, unpacked into a folder of its own, never installed. With it a first file system that
 * mounts this machine's root over virtiofs and goes on there.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const META_PACKAGE = 'linux-image-cloud-amd64';
const FOLDER = 'node_modules/.cache/guest-kernel';
/** In the order of their dependencies. */
const MODULES = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_pci_legacy_dev',
  'drivers/virtio/virtio_pci_modern_dev',
  'drivers/virtio/virtio_pci',
  'fs/fuse/fuse',
  'fs/fuse/virtiofs',
];

const run = (command, args, options = {}) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status === 0) return stdout;
  const reason = error?.message ?? `${stderr}${stdout}`.trim().split('\n').slice(-3).join(' ');
  throw new Error(`${command} ${args.at(-1)}: ${reason}`);
};

/** The newest kernel's package, of which the other one only knows the name. */
const kernelPackage = () => {
  const found = /Depends: (linux-image-\S+)/.exec(run('apt-cache', ['depends', META_PACKAGE]));
  if (found === null) throw new Error(`apt knows no ${META_PACKAGE}`);
  return found[1];
};

const fetchInto = (folder, packages) => {
  run('apt-get', ['-q', '-o', 'APT::Sandbox::User=', 'download', ...packages], { cwd: folder });
  for (const archive of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
    run('dpkg-deb', ['-x', archive, 'tree'], { cwd: folder });
    rmSync(join(folder, archive));
  }
};

const init = (modules) => `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in ${modules.join(' ')}; do $b insmod /lib/$module; done
$b mount -t virtiofs root /root || $b poweroff -f
$b mount --move /dev /root/dev
next=$($b sed 's/.*pointsman.init=\\([^ ]*\\).*/\\1/' /proc/cmdline)
$b umount /proc
exec $b switch_root /root "$next"
`;

const makeInitramfs = (folder, modules) => {
  const first = join(folder, 'first');
  for (const name of ['bin', 'lib', 'proc', 'dev', 'root']) mkdirSync(join(first, name), { recursive: true });
  copyFileSync(join(folder, 'tree/bin/busybox'), join(first, 'bin/busybox'));
  const files = MODULES.map((name) => `${name}.ko`);
  for (const file of files) copyFileSync(join(modules, 'kernel', file), join(first, 'lib', file.split('/').at(-1)));
  writeFileSync(join(first, 'init'), init(files.map((file) => file.split('/').at(-1))));
  chmodSync(join(first, 'init'), 0o755);
  const names = run('find', ['.'], { cwd: first });
  const { status, stdout } = spawnSync('cpio', ['-o', '-H', 'newc', '--quiet'], {
    cwd: first,
    input: names,
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error('cpio failed');
  writeFileSync(join(folder, 'initramfs'), stdout);
};

/** Fetches it unless it is there. Throws, saying what is missing, where that cannot be done. */
export const installGuestKernel = (root) => {
  const folder = join(root, FOLDER);
  if (existsSync(join(folder, 'vmlinuz'))) return;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'tree'), { recursive: true });
  fetchInto(folder, [kernelPackage(), 'busybox-static']);
  const all = join(folder, 'tree/lib/modules');
  const [version] = readdirSync(all);
  run('depmod', ['-b', join(folder, 'tree'), version]);
  makeInitramfs(folder, join(all, version));
  renameSync(join(all, version), join(folder, 'modules'));
  renameSync(join(folder, 'tree/boot', `vmlinuz-${version}`), join(folder, 'vmlinuz'));
  for (const name of ['tree', 'first']) rmSync(join(folder, name), { recursive: true });
};
