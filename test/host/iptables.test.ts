/** Which tools are used, and what their failures mean. The tools are scripts that answer as the real ones do. */
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findTools, restore, save } from '../../src/kernel/iptables.ts';
import { makeScripts, print, type Scripts } from './scripts.ts';

const PATH = process.env.PATH;
let scripts: Scripts;
beforeEach(async () => {
  scripts = await makeScripts();
});
afterEach(async () => {
  process.env.PATH = PATH;
  await scripts.remove();
});

const VERSIONS = {
  nft: 'iptables v1.8.9 (nf_tables)',
  legacy: 'iptables v1.8.9 (legacy)',
  old: 'iptables v1.6.1',
} as const;

/** A host on which these programs are installed and these rules are there; nothing else is found. */
const host = async (
  programs: Readonly<Record<string, keyof typeof VERSIONS>>,
  tables: Readonly<Record<string, string>> = {},
): Promise<void> => {
  for (const [name, version] of Object.entries(programs)) {
    await scripts.add(name, `echo '${VERSIONS[version]}'`);
    await scripts.add(`${name}-save`, `PATH=${PATH}`, print(tables[name] ?? ''));
  }
  process.env.PATH = scripts.folder;
};

const table = (...lines: readonly string[]): string => ['*mangle', ...lines, 'COMMIT'].join('\n');
const rules = (count: number): string => table(...Array.from({ length: count }, () => '-A INPUT -j ACCEPT'));
const HINT = table(':KUBE-IPTABLES-HINT - [0:0]');

const BOTH = { 'iptables-nft': 'nft', 'iptables-legacy': 'legacy', iptables: 'nft' } as const;
const NFT = { variant: 'nft', IPv4: 'iptables-nft', IPv6: 'ip6tables-nft' };
const LEGACY = { variant: 'legacy', IPv4: 'iptables-legacy', IPv6: 'ip6tables-legacy' };
const PLAIN = { IPv4: 'iptables', IPv6: 'ip6tables' };

describe('the tools, found by themselves', () => {
  it.each([
    ['those in which the kubelet left its hint', { 'iptables-legacy': HINT, 'iptables-nft': rules(9) }, LEGACY],
    ['also if there is nothing but the hint', { 'iptables-nft': HINT }, NFT],
    ['an older kubelet’s too', { 'iptables-legacy': table(':KUBE-KUBELET-CANARY - [0:0]') }, LEGACY],
    ['the nf_tables one if both have a hint', { 'iptables-legacy': HINT, 'iptables-nft': HINT }, NFT],
    ['else those that hold more rules', { 'iptables-legacy': rules(3), 'iptables-nft': rules(2) }, LEGACY],
    ['else the nf_tables ones, as many as they are', { 'iptables-legacy': rules(2), 'iptables-nft': rules(2) }, NFT],
    [
      'no hint: a chain whose name begins so',
      { 'iptables-nft': table(':KUBE-IPTABLES-HINTS - [0:0]') },
      { variant: 'nft', ...PLAIN },
    ],
    ['else what iptables is', {}, { variant: 'nft', ...PLAIN }],
  ])('%s', async (_, tables, tools) => {
    await host(BOTH, tables);
    expect(await findTools('auto')).toEqual(tools);
  });

  it('are what there is, when there is one variant', async () => {
    await host({ iptables: 'legacy' });
    expect(await findTools('auto')).toEqual({ variant: 'legacy', ...PLAIN });
  });

  it('may not say which variant they are', async () => {
    await host({ iptables: 'old' });
    expect(await findTools('auto')).toEqual({ variant: undefined, ...PLAIN });
  });

  it('may have no plain name', async () => {
    await host({ 'iptables-legacy': 'legacy' });
    expect(await findTools('auto')).toEqual(LEGACY);
  });

  it('are missing when none is installed', async () => {
    await host({});
    await expect(findTools('auto')).rejects.toThrow('iptables is not installed');
  });
});

describe('the tools, asked for by variant', () => {
  it('are those of that name, whatever rules there are', async () => {
    await host(BOTH, { 'iptables-nft': HINT });
    expect(await findTools('legacy')).toEqual(LEGACY);
    expect(await findTools('nft')).toEqual(NFT);
  });

  it('may be called iptables', async () => {
    await host({ iptables: 'legacy' });
    expect(await findTools('legacy')).toEqual({ variant: 'legacy', ...PLAIN });
  });

  it('are never of the other variant', async () => {
    await host({ iptables: 'legacy' });
    await expect(findTools('nft')).rejects.toThrow('no iptables tool of the nft variant is installed');
  });
});

describe('listing', () => {
  const listing = async (...lines: readonly string[]) => {
    const seen: string[] = [];
    const tool = scripts.path('x');
    await scripts.add('x-save', ...lines);
    return { failure: await save(tool, (line) => seen.push(line)), seen };
  };

  it('gives every line', async () => {
    expect(await listing(print(rules(2)))).toEqual({ failure: undefined, seen: rules(2).split('\n') });
  });

  it('is refused where a table holds what the tool cannot show: half of the truth is none', async () => {
    const { failure } = await listing(print(`# Table \`nat' is incompatible, use 'nft' tool.`));
    expect(failure).toMatchObject({ reason: 'resource', message: expect.stringContaining('cannot list table nat') });
  });

  it('says what the tool said when it fails, and what is missing', async () => {
    const { failure } = await listing('echo "Permission denied (you must be root)" >&2', 'exit 4');
    expect(failure).toEqual({
      reason: 'resource',
      message: `${scripts.path('x-save')}: exit status 4: Permission denied (you must be root)`,
    });
    expect(await save(scripts.path('absent'), () => undefined)).toMatchObject({ reason: 'missing' });
  });
});

describe('writing', () => {
  const failing = async (status: number, stderr: string) => {
    await scripts.add('x-restore', 'cat >/dev/null', `cat >&2 <<'END'\n${stderr}\nEND`, `exit ${status}`);
    return restore(scripts.path('x'), '*nat\nCOMMIT\n');
  };

  it('adds to what is there, and waits for the lock', async () => {
    await scripts.add('x-restore', `echo "$@" >'${scripts.path('seen')}'`, `cat >>'${scripts.path('seen')}'`);
    expect(await restore(scripts.path('x'), '*nat\nCOMMIT\n')).toBeUndefined();
    expect(await readFile(scripts.path('seen'), 'utf8')).toBe('-w 5 --noflush\n*nat\nCOMMIT\n');
  });

  it.each([
    ['a name the tool does not know', 2, "Chain 'NOSUCH' does not exist\nError occurred at line: 5", 'failed', 5],
    ['a line the legacy tool refuses', 1, 'iptables-restore: line 7 failed', 'failed', 7],
    [
      'a rule the nf_tables kernel refuses',
      4,
      'iptables-nft-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (Invalid argument): rule in chain KUBE-A',
      'failed',
      4,
    ],
    [
      'a chain in use',
      4,
      'iptables-nft-restore v1.8.9 (nf_tables): \nline 9: CHAIN_DEL failed (Device or resource busy): chain KUBE-B',
      'failed',
      9,
    ],
    [
      'a kernel short of memory',
      4,
      'iptables-nft-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (Cannot allocate memory): rule in chain KUBE-A',
      'resource',
      undefined,
    ],
    [
      'no permission',
      4,
      'Could not fetch rule set generation id: Permission denied (you must be root)',
      'resource',
      undefined,
    ],
    [
      'no permission for the lock',
      4,
      "Fatal: can't open lock file /run/xtables.lock: Permission denied",
      'resource',
      undefined,
    ],
    [
      'a lock that others hold',
      4,
      'Another app is currently holding the xtables lock; still 1s 0us time ahead to have a chance to grab the lock...',
      'locked',
      undefined,
    ],
    ['a fault that names no line', 3, 'no memory of a ghost', 'failed', undefined],
  ])('%s: status %i', async (_, status, stderr, reason, line) => {
    const failure = await failing(status, stderr);
    expect(failure?.reason).toBe(reason);
    expect(failure?.message).toContain(stderr.split('\n').at(-1));
    expect(failure !== undefined && 'line' in failure ? failure.line : undefined).toBe(line);
  });

  it('without the tool is no failure of the kernel', async () => {
    expect(await restore(scripts.path('absent'), '')).toMatchObject({ reason: 'missing' });
  });
});
