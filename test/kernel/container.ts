/**
 * A container of the DaemonSet without a container engine: its command and arguments as they stand in the manifest, its files
 * where it mounts them, a root that cannot be written, and of root's capabilities just those that it lists.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { ProxyMode } from '../../src/config/config.ts';
import { build, type Manifest, readManifests } from '../manifests/kustomize.ts';
import { type Container, containersOf, podOf } from '../manifests/pod.ts';

export interface Pod {
  readonly initContainer: Container;
  readonly proxy: Container;
  /** Of the DaemonSet that takes the rules away. */
  readonly cleanup: Container;
  /** Holds what is mounted. */
  readonly folder: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Of the program, by the image's working directory. */
const PROGRAM = ['dist', 'node_modules', 'package.json'];
/** Of the machine, which stands for the image's operating system. */
const SYSTEM = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/usr', '/etc'];

/** Writes the ConfigMap and these objects to files that containers will find. */
export const preparePod = async (mode: ProxyMode, objects: readonly object[], folder: string): Promise<Pod> => {
  const manifests = build(join(root, 'manifests/overlays', mode));
  const find = (kind: string): Manifest => {
    const found = manifests.find((manifest) => manifest.kind === kind);
    if (found === undefined) throw new Error(`there is no ${kind}`);
    return found;
  };
  const { data } = find('ConfigMap') as unknown as { readonly data: Readonly<Record<string, string>> };
  await mkdir(join(folder, 'config'), { recursive: true });
  await mkdir(join(folder, 'objects'), { recursive: true });
  for (const [name, text] of Object.entries(data)) await writeFile(join(folder, 'config', name), text);
  await writeFile(join(folder, 'objects/all.yaml'), objects.map((object) => stringify(object)).join('---\n'));
  await writeFile(join(folder, 'lock'), '', { flag: 'a' });
  const [initContainer, proxy] = containersOf(podOf(find('DaemonSet')));
  const [cleanup] = readManifests(join(root, 'manifests/cleanup.yaml')).flatMap((last) => podOf(last).initContainers);
  if (initContainer === undefined || proxy === undefined || cleanup === undefined)
    throw new Error('a container is missing');
  return { initContainer, proxy, cleanup, folder };
};

export interface Run {
  readonly nodeName: string;
  /** Added to the container's own. */
  readonly args: readonly string[];
  /** In place of those that the container lists. */
  readonly capabilities?: readonly string[];
}

/** What to run on a node, in its network namespace. */
export const commandOf = ({ folder }: Pod, container: Container, run: Run): readonly string[] => {
  const { privileged, capabilities } = container.securityContext;
  const held = run.capabilities ?? capabilities?.add ?? [];
  const args = [...container.args, ...run.args].map((text) => text.replace('$(NODE_NAME)', run.nodeName));
  const bounding = ['-all', ...held.map((name) => `+${name.toLowerCase()}`)].join(',');
  const rights = ['--inh-caps=-all', '--ambient-caps=-all', `--bounding-set=${bounding}`, '--no-new-privs'];
  const confined = privileged ? [] : ['setpriv', ...rights];
  const path = 'PATH=/node:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const started = [...confined, 'env', '-i', path, `NODE_NAME=${run.nodeName}`, ...container.command, ...args];
  return ['unshare', '-m', 'sh', '-ec', script(folder, container), 'sh', ...started];
};

/** A new root on a folder that every machine has and hardly any uses: nothing of it is seen outside. */
const script = (folder: string, { securityContext, volumeMounts }: Container): string => {
  const bind = (from: string, to: string, how = '--bind'): string => `mount ${how} ${from} /mnt${to}`;
  const bindFile = (from: string, to: string): readonly string[] => [`touch /mnt${to}`, bind(from, to)];
  const bindFolder = (from: string, to: string): readonly string[] => [`mkdir -p /mnt${to}`, bind(from, to, '--rbind')];
  const mounts: Readonly<Record<string, readonly string[]>> = {
    config: bindFolder(`${folder}/config`, '/var/lib/pointsman'),
    'xtables-lock': bindFile(`${folder}/lock`, '/run/xtables.lock'),
    // those of the machine are there already
    modules: [],
  };
  const readOnly = (path: string): readonly string[] => [
    `mount --bind ${path} ${path}`,
    `mount -o remount,ro,bind ${path}`,
  ];
  return [
    'mount -t tmpfs tmpfs /mnt',
    ...SYSTEM.map(
      (path) =>
        `if [ -L ${path} ]; then cp -P ${path} /mnt; elif [ -d ${path} ]; then mkdir /mnt${path}; ${bind(path, path, '--rbind')}; fi`,
    ),
    'mkdir /mnt/run /mnt/node',
    ...bindFile(process.execPath, '/node/node'),
    ...['/proc', '/sys', '/dev'].flatMap((path) => bindFolder(path, path)),
    'mkdir -p /mnt/opt/pointsman',
    ...PROGRAM.flatMap((name) =>
      name.includes('.')
        ? bindFile(join(root, name), `/opt/pointsman/${name}`)
        : bindFolder(join(root, name), `/opt/pointsman/${name}`),
    ),
    ...bindFolder(`${folder}/objects`, '/objects'),
    ...volumeMounts.flatMap(({ name }) => mounts[name] ?? [`echo unknown volume ${name} >&2`, 'exit 1']),
    // as a container engine does it; a privileged one writes, but for what is the whole machine's
    ...(securityContext.privileged
      ? readOnly('/mnt/sys/module')
      : [...readOnly('/mnt/proc/sys'), ...readOnly('/mnt/sys')]),
    'mount -o remount,ro /mnt',
    'exec chroot /mnt "$@"',
  ].join('\n');
};
