/** The image, as far as it can be made without a container: the stages' commands are run, and the program from what they copy. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NODE_OPTIONS } from '../../src/lab/cluster.ts';
import { carryOut, parseCopy, parseStages } from './containerfile.ts';
import { build } from './kustomize.ts';
import { containersOf, podOf } from './pod.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const [program, packages, image, ...more] = parseStages(read('manifests/Containerfile'));
if (program === undefined || packages === undefined || image === undefined)
  throw new Error('three stages are expected');
const textOf = (name: string): readonly string[] =>
  image.instructions.filter((instruction) => instruction.name === name).map(({ text }) => text);

const { version } = JSON.parse(read('package.json')) as { readonly version: string };
const lock = JSON.parse(read('package-lock.json')) as {
  readonly packages: Readonly<Record<string, { readonly integrity?: string; readonly cpu?: readonly string[] }>>;
};

describe('the Containerfile', () => {
  it('has three stages, of one image that is the Node.js of the program', () => {
    expect(more).toEqual([]);
    expect(new Set([program, packages, image].map((stage) => stage.image))).toEqual(
      new Set(['docker.io/library/node:20-bookworm-slim']),
    );
  });

  it('copies what is there, and what the ignore file lets through', () => {
    const allowed = read('.containerignore').split('\n');
    const copies = [program, packages, image].flatMap(({ instructions }) =>
      instructions.filter(({ name }) => name === 'COPY').map(parseCopy),
    );
    for (const source of copies.flatMap(({ from, sources }) => (from === undefined ? sources : []))) {
      expect(existsSync(join(root, source)), source).toBe(true);
      expect(allowed).toContain(`!${source}`);
    }
  });

  it('says which version it is of', () => {
    expect(textOf('ARG')).toContain(`VERSION=${version}`);
    expect(textOf('LABEL').join(' ')).toContain('org.opencontainers.image.version="$VERSION"');
  });

  it('starts what the DaemonSet starts', () => {
    const start = ['node', `${textOf('WORKDIR')[0]}/dist/main.js`];
    expect(textOf('ENTRYPOINT').map((text) => JSON.parse(text) as unknown)).toEqual([start]);
    const [daemonSet] = build(join(root, 'manifests/overlays/ipvs')).filter(({ kind }) => kind === 'DaemonSet');
    if (daemonSet === undefined) throw new Error('there is no DaemonSet');
    for (const { command } of containersOf(podOf(daemonSet))) expect(command).toEqual([...start, 'run']);
  });

  it('gives Node.js the options with which everything is measured', () => {
    expect(textOf('ENV').join(' ')).toContain(`NODE_OPTIONS=${NODE_OPTIONS.join(' ')}`);
  });

  it('installs the programs that this program runs', () => {
    expect(textOf('RUN').join(' ')).toMatch(/ install -y --no-install-recommends iptables kmod /);
  });

  it.each(['x64', 'arm64'])('can be built for %s: the native code is there, and known by its checksum', (cpu) => {
    const native = lock.packages[`node_modules/@koromix/koffi-linux-${cpu}`];
    expect(native).toMatchObject({ cpu: [cpu], integrity: expect.stringMatching(/^sha512-/) });
  });
});

describe('the files of the image', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-image-'));
  let place: string;
  beforeAll(async () => {
    const machine = { ...packages, instructions: packages.instructions.map(forThisMachine) };
    const site = { context: root, folder };
    await carryOut(machine, site);
    await carryOut(program, { ...site, modules: join(root, 'node_modules') });
    place = await carryOut(image, site);
  }, 180_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it('are the program, its one package, and its licence', () => {
    expect([...readdirSync(place)].sort()).toEqual(['LICENSE', 'dist', 'node_modules', 'package.json']);
    expect([...readdirSync(join(place, 'node_modules'))].sort()).toEqual(['@koromix', 'koffi']);
    expect(
      readdirSync(join(place, 'dist'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.map')),
    ).toEqual([]);
  });

  it('are enough to start, to read a cluster and print its rules, and to talk to the kernel', async () => {
    const start = async (...args: readonly string[]): Promise<string> =>
      (await run(process.execPath, [join(place, 'dist/main.js'), ...args], { cwd: '/', maxBuffer: 1 << 26 })).stdout;
    expect(await start('run', '--version')).toBe(`pointsman ${version}\n`);
    const objects = fileURLToPath(new URL('../fixtures/kube-proxy-1.36.2', import.meta.url));
    for (const mode of ['iptables', 'ipvs', 'nftables']) {
      expect(await start('dump', `--proxy-mode=${mode}`, `--source=files:${objects}`, '--node=node1')).not.toBe('');
    }
    const native = `const { default: koffi } = await import('koffi'); console.log(koffi.load('libc.so.6').func('int getpid()')() > 0);`;
    expect((await run(process.execPath, ['--input-type=module', '-e', native], { cwd: place })).stdout).toBe('true\n');
  }, 60_000);
});

/** The image's default architecture may not be that of the machine that tests. */
const forThisMachine = ({ name, text }: { readonly name: string; readonly text: string }) => ({
  name,
  text: name === 'ARG' ? `TARGETARCH=${process.arch === 'x64' ? 'amd64' : process.arch}` : text,
});
