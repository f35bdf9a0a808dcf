import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { FLAGS } from '../../src/config/flag-table.ts';
import { addFlags, flagProblem, readFlags, versionAsked } from '../../src/config/flags.ts';
import { EFFECTS, ELSEWHERE, FREE, REFUSED } from './flag-cases.ts';
import { flagsOf, loadLine, problemsOf } from './loading.ts';

const OURS = [
  'dry-run',
  'iptables-tool',
  'ipvs-mark-mask',
  'metrics-authorization',
  'service-metrics',
  'source',
  'startup-taint',
];

const at = (value: unknown, path: string): unknown =>
  path.split('.').reduce((inner, key) => (inner as Record<string, unknown>)[key], value);

const names = FLAGS.map((flag) => flag.name).sort();

describe('the flag table', () => {
  it('has every flag of kube-proxy and ours, and no other', () => {
    const listed = readFileSync(new URL('kube-proxy-flags.txt', import.meta.url), 'utf8')
      .trim()
      .split('\n');
    expect(names).toEqual([...listed, ...OURS].sort());
  });

  it('is covered by these tests', () => {
    expect([...EFFECTS.map(([name]) => name), ...ELSEWHERE].sort()).toEqual(names);
    expect([...Object.keys(REFUSED), ...FREE].sort()).toEqual(names);
  });

  it('gives each flag a line of help with its default', () => {
    const command = new Command('test');
    addFlags(command);
    const help = command.helpInformation().replace(/\s+/g, ' ');
    for (const name of names) expect(help).toContain(`--${name} `);
    expect(help).toContain('(default 30s)');
    expect(help).toContain('-v, --v <number>');
  });
});

describe('every flag', () => {
  it.each(EFFECTS)('--%s=%s sets %s', async (name, text, path, value) => {
    const { config } = await loadLine([`--${name}=${text}`]);
    expect(at(config, path)).toEqual(value);
  });

  it.each(EFFECTS)('--%s %s, in two words', async (name, text, path, value) => {
    const { config: joined } = await loadLine([`--${name}=${text}`]);
    // The next word is never the value of a boolean flag, so there the bare form is the second one.
    const isBoolean = typeof value === 'boolean';
    const { config } = await loadLine(isBoolean ? [`--${name}`] : [`--${name}`, text]);
    expect(at(config, path)).toEqual(isBoolean ? true : at(joined, path));
  });

  it.each(
    Object.entries(REFUSED).flatMap(([name, [texts, expected]]) =>
      texts.map((text) => [name, text, `--${name}: expected ${expected}, got ${JSON.stringify(text)}`] as const),
    ),
  )('--%s=%s is refused', async (name, text, problem) => {
    expect(await problemsOf(loadLine([`--${name}=${text}`]))).toEqual([problem]);
  });
});

describe('flag syntax', () => {
  it.each(['1', 't', 'T', 'TRUE', 'True', 'true'])('%s is true', async (word) => {
    expect((await loadLine([`--masquerade-all=${word}`])).config.iptables.masqueradeAll).toBe(true);
  });

  it.each(['0', 'f', 'F', 'FALSE', 'False', 'false'])('%s is false', async (word) => {
    expect((await loadLine([`--iptables-localhost-nodeports=${word}`])).config.iptables.localhostNodePorts).toBe(false);
  });

  it.each([[['-v=2']], [['-v', '2']], [['-v2']], [['--v=2']], [['--v', '2']]])('%j is verbosity 2', async (argv) => {
    expect((await loadLine(argv)).config.logging.verbosity).toBe(2);
  });

  it('adds up lists and gates, and takes the last of everything else', async () => {
    const { config } = await loadLine([
      ...['--nodeport-addresses=10.0.0.0/8', '--nodeport-addresses', '192.168.0.0/16,fd00::/8'],
      ...['--feature-gates=A=true,B=true', '--feature-gates=B=false'],
      ...['--vmodule=a=1', '--vmodule=b=2', '--proxy-mode=ipvs', '--proxy-mode=iptables', '--cleanup', '--cleanup=0'],
    ]);
    expect(config.nodePortAddresses).toEqual(['10.0.0.0/8', '192.168.0.0/16', 'fd00::/8']);
    expect(config.featureGates).toEqual({ A: true, B: false });
    expect(config.logging.vmodule.map((item) => item.filePattern)).toEqual(['a', 'b']);
    expect(config.mode).toBe('iptables');
    expect(config.cleanup).toBe(false);
  });

  it('takes an empty text for "not given"', async () => {
    const bare = await loadLine([]);
    const textual = [
      'bind-address',
      'healthz-bind-address',
      'cluster-cidr',
      'nodeport-addresses',
      'proxy-mode',
      'master',
    ];
    const empty = await loadLine(
      [...textual, 'config', 'feature-gates', 'hostname-override'].map((name) => `--${name}=`),
    );
    expect(empty).toEqual(bare);
  });

  it('reports all bad values at once', async () => {
    const load = loadLine(['--oom-score-adj=x', '--proxy-mode=y', '--nodeport-addresses=1', '--nodeport-addresses=2']);
    expect((await problemsOf(load)).map((problem) => problem.split(':')[0])).toEqual([
      '--proxy-mode',
      '--nodeport-addresses',
      '--nodeport-addresses',
      '--oom-score-adj',
    ]);
    expect(flagProblem(await load.catch((error: unknown) => error))).toMatch(/^4 problems:\n {2}--proxy-mode: /);
  });

  it.each([
    [['--version'], 'plain'],
    [['--version=raw'], 'raw'],
    [['--version=false'], undefined],
    [[], undefined],
  ])('%j asks for version %s', (argv, asked) => {
    expect(versionAsked(flagsOf(...argv))).toBe(asked);
  });

  it('finds flags that were given to a command above', () => {
    const program = new Command('test').exitOverride();
    addFlags(program);
    let seen: Command | undefined;
    program.command('dump').action((_options, command: Command) => {
      seen = command;
    });
    program.parse(['--proxy-mode=ipvs', 'dump'], { from: 'user' });
    expect(seen && readFlags(seen)).toEqual(new Map([['proxy-mode', ['ipvs']]]));
  });
});
