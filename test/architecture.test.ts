/** The house's walls: who may import whom. design: main → commands → rooms → dataplane → model, siblings never. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { PROFILES } from '../src/backends/index.ts';
import { check, type Table } from './architecture/check.ts';
import { decidedByName, namesIn } from './architecture/names.ts';
import { type Module, parseModule, readModules } from './architecture/source.ts';

/** What a backend is made of: the contract, turns, the model, and drivers. Never another backend, never the engine. */
const PARTS = [
  'backends/mode.ts',
  'dataplane/contract.ts',
  'dataplane/mutex.ts',
  'dataplane/turn.ts',
  'model/**',
  'kernel/**',
  'netlink/**',
  'ipvs-netlink/**',
  'nftables-json/**',
] as const;
/** Where errors of kernel and tools become the contract's. */
const ERRORS = 'backends/kernel-error.ts';
const ENGINE = ['dataplane/**', 'model/**'] as const;

const TABLE: Table = {
  rules: [
    // the composition root: the only file that knows all others
    { files: 'main.ts', may: ['**'] },
    // of backends only the table of modes: no command knows one
    {
      files: 'commands/**',
      may: [
        ...[
          'config/**',
          'sources/**',
          'backends/index.ts',
          'backends/mode.ts',
          'addresses/**',
          'conntrack/**',
          'observe/**',
          'lab/**',
        ],
        ...['kernel/conntrack-settings.ts', 'kernel/modules.ts', 'kernel/capabilities.ts', 'kernel/oom-score.ts'],
        'netlink/send-buffer.ts',
        ...ENGINE,
      ],
    },

    { files: 'config/**', may: ENGINE },
    // two ways to get objects that share what stands in sources/ itself
    { files: 'sources/apiserver/**', may: ['sources/*', ...ENGINE] },
    { files: 'sources/files/**', may: ['sources/*', ...ENGINE] },
    { files: 'sources/*', may: ENGINE },
    { files: 'observe/**', may: ENGINE },
    // the API server and the networks know nothing of each other; a cluster is both, and the demo shows one
    { files: 'lab/apiserver/**', may: ENGINE },
    { files: 'lab/network/**', may: ENGINE },
    { files: 'lab/uml/**', may: ['lab/network/**', ...ENGINE] },
    { files: 'lab/vm/**', may: ['lab/network/**', ...ENGINE] },
    { files: 'lab/probe/**', may: ['lab/network/**', ...ENGINE] },
    { files: 'lab/demo/**', may: ['lab/*', 'lab/apiserver/**', 'lab/network/**', ...ENGINE] },
    { files: 'lab/*', may: ['lab/apiserver/**', 'lab/network/**', ...ENGINE] },
    // the table of modes: profiles, and backends loaded when they are asked for
    {
      files: 'backends/index.ts',
      may: ['backends/*/mode.ts', 'backends/*/profile.ts', 'backends/mode.ts', 'model/**'],
    },
    // how a backend is opened; a type of the tools
    { files: 'backends/mode.ts', may: ['dataplane/contract.ts', 'model/**', 'kernel/iptables.ts'] },
    { files: ERRORS, may: ['dataplane/contract.ts', 'netlink/**'] },
    { files: 'backends/iptables/**', may: ['backends/xtables/**', ERRORS, ...PARTS] },
    { files: 'backends/ipvs/**', may: ['backends/xtables/**', ERRORS, ...PARTS] },
    { files: 'backends/nftables/**', may: [ERRORS, ...PARTS] },
    // no backend: the iptables rules that two of them write
    { files: 'backends/xtables/**', may: [ERRORS, ...PARTS] },

    // beside the backends: what becomes of connections that are tracked already
    { files: 'conntrack/**', may: ['model/**', 'netlink/**'] },

    // and what the machine's addresses are
    { files: 'addresses/**', may: ['netlink/**'] },

    // no backend and no Kubernetes client: the logger's type is all it takes from outside
    { files: 'dataplane/**', may: ['model/**'], packages: ['pino'] },
    { files: 'model/**', may: [], packages: ['ipaddr.js', 'node:net', 'node:util'] },

    // drivers and building blocks
    { files: 'kernel/**', may: [] },
    { files: 'netlink/**', may: [] },
    { files: 'ipvs-netlink/**', may: ['netlink/**'] },
    { files: 'nftables-json/**', may: ['netlink/**'] },
  ],
  confined: [
    { package: '@kubernetes/client-node', to: ['sources/apiserver/**'] },
    { package: 'execa', to: ['kernel/**', 'lab/**'] },
    { package: 'node:child_process', to: ['kernel/**', 'lab/**'] },
    { package: 'koffi', to: ['netlink/**'] },
    { package: 'commander', to: ['main.ts', 'commands/**', 'config/**'] },
    { package: 'prom-client', to: ['observe/**'] },
    { package: 'pino-pretty', to: ['observe/**'] },
    { package: 'cli-progress', to: ['observe/**'] },
  ],
  pure: {
    files: ['backends/*/compile.ts', 'backends/*/base.ts', 'backends/*/profile.ts', 'model/**'],
    never: ['kernel/**', 'netlink/**', 'ipvs-netlink/**'],
    packages: ['ipaddr.js', 'node:crypto', 'node:util', 'node:net#isIPv4'],
  },
};

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));

const WALL_CLOCK = /\bDate\.now\b|\bnew Date\(\)/;

/** Where the wall clock is read, and for what. */
const TIMES = {
  'commands/observing.ts': 'shown: pages and health answers',
  'dataplane/reconciler.ts': 'shown: since when an owner is as it is',
  'observe/life.ts': 'shown: the start',
  'observe/log.ts': 'shown: lines',
  'observe/metrics.ts': "times of syncs, and how long after others' time stamps they were",
  'observe/traffic/family-traffic.ts': 'shown: when traffic was read',
  'sources/apiserver/recorder.ts': 'shown: Events',
  'sources/files/folder.ts': "compared with files' times",
};

/**
 * A mode's name outside the backends, and for what: everything else asks the mode's record. Names that mean something else in
 * the field are those of programs.
 */
const NAMES = {
  'config/complete.ts': 'groups of KubeProxyConfiguration',
  'config/config.ts': 'values of --proxy-mode, groups of KubeProxyConfiguration',
  'config/fields.ts': 'the default of --proxy-mode',
  'config/node-options.ts': 'a field of KubeProxyConfiguration',
  'kernel/iptables.ts': 'a program',
  'lab/demo/needs.ts': 'a program, and its package',
  'lab/uml/uml.ts': 'a program',
  'nftables-json/text.ts': "the root of nft's JSON",
};

const MODES = PROFILES.map(({ mode }) => mode);

const textOf = (path: string): string => readFileSync(`${SOURCE}/${path}`, 'utf8');

describe('the source', () => {
  const modules = readModules(SOURCE);

  it('is read whole', () => {
    const importsOf = (path: string): readonly string[] =>
      modules.find((module) => module.path === path)?.imports.map(({ target }) => target) ?? [];
    expect(importsOf('main.ts')).toContain('commands/run.ts'); // a dynamic import
    expect(importsOf('dataplane/contract.ts')).toContain('model/topology.ts'); // a type
    expect(importsOf('backends/index.ts')).toContain('backends/iptables/mode.ts'); // both at once
    expect(importsOf('kernel/host.ts')).toContain('execa');
  });

  it('keeps to the table, and has no cycle, default export or barrel', () => {
    expect(check(modules, TABLE)).toEqual([]);
  });

  it('asks what time it is only to show it, or to compare it with times that others wrote: a clock that is set ends no wait', () => {
    const asking = modules.filter(({ path }) => !path.startsWith('lab/') && WALL_CLOCK.test(textOf(path)));
    expect(asking.map(({ path }) => path).sort()).toEqual(Object.keys(TIMES).sort());
  });

  it('knows a mode by its record: outside the backends its name stands where an operator or a host has it, and decides nothing', () => {
    const others = modules.map(({ path }) => path).filter((path) => !path.startsWith('backends/'));
    expect(others.filter((path) => namesIn(textOf(path), MODES).length > 0).sort()).toEqual(Object.keys(NAMES).sort());
    expect(others.flatMap((path) => decidedByName(textOf(path), MODES).map((name) => `${path}: ${name}`))).toEqual([]);
  });

  it('has a file for each pure one that the table names', () => {
    const paths = modules.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['backends/iptables/compile.ts', 'backends/iptables/base.ts']));
  });
});

/** Modules that exist because others import them; and the ones given, by path and text. */
const world = (files: Readonly<Record<string, string>>): readonly Module[] => {
  const given = Object.entries(files).map(([path, text]) => parseModule(path, text));
  const targets = given.flatMap(({ imports }) => imports.filter(({ isOurs }) => isOurs).map(({ target }) => target));
  const absent = [...new Set(targets)].filter((path) => !(path in files));
  return [...given, ...absent.map((path) => parseModule(path, 'const nothing = 0;'))];
};

const verdict = (files: Readonly<Record<string, string>>): readonly string[] => check(world(files), TABLE);

describe('the checker finds', () => {
  it.each([
    ['an upward import', 'model/a.ts', `import { b } from '../dataplane/b.ts';`, 'dataplane/b.ts'],
    [
      'one of a type only',
      'dataplane/a.ts',
      `import type { B } from '../backends/iptables/b.ts';`,
      'backends/iptables/b.ts',
    ],
    ['an inline type', 'dataplane/a.ts', `type B = import('../sources/b.ts').B;`, 'sources/b.ts'],
    ['a dynamic one', 'observe/a.ts', `const b = await import('../commands/b.ts');`, 'commands/b.ts'],
    ['a re-export', 'kernel/a.ts', `export { b } from '../model/b.ts'; const c = 1;`, 'model/b.ts'],
    ['a sideways one', 'sources/a.ts', `import { b } from '../config/b.ts';`, 'config/b.ts'],
    ['one between sources', 'sources/files/a.ts', `import { b } from '../apiserver/b.ts';`, 'sources/apiserver/b.ts'],
    ['one between parts of the lab', 'lab/apiserver/a.ts', `import '../network/b.ts';`, 'lab/network/b.ts'],
    ['a backend in what two share', 'backends/xtables/a.ts', `import '../ipvs/b.ts';`, 'backends/ipvs/b.ts'],
    ['what is not for it', 'backends/nftables/a.ts', `import '../xtables/b.ts';`, 'backends/xtables/b.ts'],
    ['another backend', 'backends/ipvs/a.ts', `import { b } from '../iptables/b.ts';`, 'backends/iptables/b.ts'],
    ['the engine in a backend', 'backends/ipvs/a.ts', `import '../../dataplane/loop.ts';`, 'dataplane/loop.ts'],
    ['an inner file of a backend', 'backends/index.ts', `import './ipvs/base.ts';`, 'backends/ipvs/base.ts'],
    ['a driver in a building block', 'ipvs-netlink/a.ts', `import '../kernel/b.ts';`, 'kernel/b.ts'],
    ['one building block in another', 'nftables-json/a.ts', `import '../ipvs-netlink/b.ts';`, 'ipvs-netlink/b.ts'],
  ])('%s', (_, path, text, target) => {
    expect(verdict({ [path]: text })).toContain(`${path} must not import ${target}`);
  });

  it.each([
    ['model/a.ts', `import { readFile } from 'node:fs';`, 'node:fs'],
    ['dataplane/a.ts', `import { Watch } from '@kubernetes/client-node';`, '@kubernetes/client-node'],
    ['backends/ipvs/a.ts', `import { execa } from 'execa';`, 'execa'],
    ['commands/a.ts', `import { exec } from 'node:child_process';`, 'node:child_process'],
  ])('a package in the wrong room (%s)', (path, text, target) => {
    expect(verdict({ [path]: text })).toContain(`${path} must not use ${target}`);
  });

  it.each([
    ['a driver', `import { run } from '../../kernel/b.ts';`, 'backends/ipvs/compile.ts reaches kernel/b.ts'],
    [
      'the module of a type',
      `import { type B } from '../../kernel/b.ts';`,
      'backends/ipvs/compile.ts reaches kernel/b.ts',
    ],
    ['input and output', `import { open } from 'node:fs';`, 'reaches node:fs, by backends/ipvs/helper.ts'],
    ['more of a module than its pure part', `import { isIPv4, connect } from 'node:net';`, 'reaches node:net, by'],
    ['all of such a module', `import * as net from 'node:net';`, 'reaches node:net, by'],
  ])('%s behind a pure file', (_, text, complaint) => {
    const files = { 'backends/ipvs/compile.ts': `import { x } from './helper.ts';`, 'backends/ipvs/helper.ts': text };
    expect(verdict(files).join('\n')).toContain(complaint);
  });

  it('a cycle, a default export, a barrel, a stranger and a file that is not there', () => {
    expect(verdict({ 'model/a.ts': `import './b.ts';`, 'model/b.ts': `import type { A } from './a.ts';` })).toEqual([
      'cycle: model/a.ts → model/b.ts → model/a.ts',
    ]);
    for (const text of ['export default 1;', 'const a = 1; export { a as default };']) {
      expect(verdict({ 'model/a.ts': text })).toEqual(['model/a.ts has a default export']);
    }
    for (const text of [`export * from './b.ts';`, `import { b } from './b.ts'; export { b };`]) {
      expect(verdict({ 'model/a.ts': text })).toEqual(['model/a.ts only re-exports']);
    }
    expect(verdict({ 'attic/a.ts': 'const a = 1;' })).toEqual(['attic/a.ts is in no room']);
    const lost = [parseModule('model/a.ts', `import './b.ts';`)];
    expect(check(lost, TABLE)).toEqual(['model/a.ts imports model/b.ts, which is not there']);
  });

  it.each([
    ['a literal', `const f = (mode: string) => mode === 'ipvs';`],
    ['a type', `type M = 'iptables' | 'ipvs';`],
    ['a template', 'const a = `ipvs`;'],
    ['a table', 'const T = { ipvs: 1 };'],
    ['what is asked of a table', 'const a = T.ipvs;'],
    ['what is asked of one by text', `const a = T['ipvs'];`],
    ['what is taken from one', 'const { ipvs } = T;'],
    ['a field of a type', 'interface T { readonly ipvs: number }'],
  ])("a mode's name: %s", (_, text) => {
    expect(namesIn(text, ['ipvs'])).toContain('ipvs');
  });

  it("no mode's name in a longer text, nor in a comment", () => {
    expect(namesIn(`const a = 'mode ipvs'; // 'ipvs'\nconst b = c['ipvs.scheduler'];`, ['ipvs'])).toEqual([]);
  });

  it.each([
    ['compared', `const f = (mode: string) => mode !== 'ipvs';`, ['ipvs']],
    ['a case', `switch (mode) { case 'ipvs': break; }`, ['ipvs']],
    ['looked for', `const a = ['ipvs'].includes(mode);`, ['ipvs']],
    ['only a value', `const T = { ipvs: choice('ipvs') }; const a = T.ipvs;`, []],
  ])('what a name decides: %s', (_, text, found) => {
    expect(decidedByName(text, ['ipvs'])).toEqual(found);
  });

  it('nothing wrong with what is allowed', () => {
    expect(
      verdict({
        'main.ts': `import './commands/a.ts';`,
        'commands/a.ts': `import '../backends/index.ts'; import '../dataplane/b.ts';`,
        'backends/index.ts': `const b = await import('./ipvs/mode.ts');`,
        'backends/ipvs/mode.ts': `import './index.ts'; import type { M } from '../mode.ts';`,
        'backends/ipvs/index.ts': `import '../../ipvs-netlink/c.ts'; import './compile.ts';`,
        'backends/ipvs/compile.ts': `import { createHash } from 'node:crypto'; import type { E } from '../../netlink/e.ts';`,
        'ipvs-netlink/c.ts': `import '../netlink/e.ts';`,
      }),
    ).toEqual([]);
  });

  it.each(['const b = await import(name);', 'const b = await import("./" + name);', `const b = require('./b.ts');`])(
    'that it cannot know what is imported: %s',
    (text) => {
      expect(() => parseModule('model/a.ts', text)).toThrow('model/a.ts: ');
    },
  );
});
