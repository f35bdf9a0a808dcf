/** Which tools are used, and what their failures mean. The tools are scripts that answer as the real ones do. */
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runTool } from '../../src/kernel/host.ts';
import { findTools, restore, save } from '../../src/kernel/iptables.ts';
import { type FailureScope, failureOf, type Reason, ROWS } from '../../src/kernel/iptables-failure.ts';
import { makeScripts, print, type Scripts } from './scripts.ts';

/** As the tools of iptables 1.8.9 and older ones end: status, words; what that is, and the line that is to blame. */
const RECORDED: readonly (readonly [string, number, string, Reason, FailureScope, number | undefined])[] = [
  [
    'a name that the tool does not know',
    2,
    "Chain 'NOSUCH' does not exist\nError occurred at line: 5",
    'input',
    'content',
    5,
  ],
  ['an option that it does not know', 2, 'unknown option "--foo"\nError occurred at line: 3', 'input', 'content', 3],
  [
    'a match that is not installed',
    2,
    "Couldn't load match `nosuch':No such file or directory\n\nError occurred at line: 3",
    'input',
    'content',
    3,
  ],
  ['a set that is not there', 2, "Set nosuch doesn't exist.\n\nError occurred at line: 3", 'input', 'content', 3],
  ['a line that the legacy tool refuses', 1, 'iptables-restore: line 7 failed', 'input', 'content', 7],
  [
    'a rule that is not there (nf_tables)',
    1,
    'iptables-nft-restore: line 2 failed: Bad rule (does a matching rule exist in that chain?).',
    'input',
    'content',
    2,
  ],
  [
    'a chain that is there already (nf_tables)',
    1,
    'iptables-nft-restore: line 3 failed: Chain already exists.',
    'input',
    'content',
    3,
  ],
  ['input without an end', 1, 'iptables-restore: COMMIT expected at line 3', 'input', 'content', 3],
  ['input that is refused without a line', 1, 'iptables-restore: no idea', 'input', 'content', undefined],
  [
    'a rule that the nf_tables kernel refuses',
    4,
    'iptables-nft-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (Invalid argument): rule in chain KUBE-A',
    'refused',
    'content',
    4,
  ],
  [
    'a chain in use',
    4,
    'iptables-nft-restore v1.8.9 (nf_tables): \nline 9: CHAIN_DEL failed (Device or resource busy): chain KUBE-B',
    'refused',
    'content',
    9,
  ],
  [
    'a circle of chains',
    4,
    'line 6: RULE_APPEND failed (Too many links): rule in chain OUTPUT',
    'refused',
    'content',
    6,
  ],
  ...(
    [
      'Cannot allocate memory',
      'No buffer space available',
      'Too many open files',
      'Resource temporarily unavailable',
      'Interrupted system call should be restarted',
      'Connection timed out',
      'No space left on device',
      'Operation not permitted',
      'Permission denied',
    ] as const
  ).map(
    (words) =>
      [
        `the nf_tables kernel: ${words}`,
        4,
        `line 4: RULE_APPEND failed (${words}): rule in chain KUBE-A`,
        'short',
        'environment',
        undefined,
      ] as const,
  ),
  [
    'no permission (nf_tables)',
    4,
    'Could not fetch rule set generation id: Permission denied (you must be root)',
    'no ruleset',
    'environment',
    undefined,
  ],
  [
    'no permission (legacy), though the tool blames a line',
    2,
    "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\nError occurred at line: 1",
    'no table',
    'environment',
    undefined,
  ],
  [
    'no table in this kernel',
    3,
    "can't initialize iptables table `nat': Table does not exist (do you need to insmod?)\nPerhaps iptables or your kernel needs to be upgraded.",
    'no table',
    'environment',
    undefined,
  ],
  [
    'nf_tables that cannot be opened',
    1,
    'iptables v1.8.9 (nf_tables): Failed to initialize nft: Protocol not supported',
    'no table',
    'environment',
    undefined,
  ],
  [
    'a listing without permission (legacy)',
    1,
    'iptables-save v1.8.9 (legacy): Cannot initialize: Permission denied (you must be root)',
    'no table',
    'environment',
    undefined,
  ],
  ['no root', 4, 'Permission denied (you must be root)', 'not root', 'environment', undefined],
  [
    'no permission for the lock',
    4,
    "Fatal: can't open lock file /run/xtables.lock: Permission denied",
    'no lock file',
    'environment',
    undefined,
  ],
  [
    'a full disk for the lock',
    4,
    "Fatal: can't open lock file /run/xtables.lock: No space left on device",
    'no lock file',
    'environment',
    undefined,
  ],
  [
    'a lock that others hold',
    4,
    "Can't lock /run/xtables.lock: Resource temporarily unavailable\nAnother app is currently holding the xtables lock. Stopped waiting after 5s.",
    'locked',
    'environment',
    undefined,
  ],
  [
    'a match for which there is no descriptor',
    2,
    "iptables-restore v1.8.9 (legacy): Couldn't load match `comment':Too many open files\nError occurred at line: 3",
    'no extension just now',
    'environment',
    undefined,
  ],
  [
    'sets that may not be asked',
    1,
    "iptables v1.8.9 (nf_tables): Can't open socket to ipset.",
    'no extension just now',
    'environment',
    undefined,
  ],
  [
    'no memory in the tool',
    4,
    'iptables-restore v1.8.9 (nf_tables): Memory allocation problem',
    'resource',
    'environment',
    undefined,
  ],
  [
    'a library that cannot be opened',
    127,
    'error while loading shared libraries: libxtables.so.12: cannot open shared object file: Error 24',
    'killed in a shell',
    'environment',
    undefined,
  ],
  ['a tool that crashed behind a script', 139, 'Segmentation fault', 'killed in a shell', 'environment', undefined],
  ['a tool that was killed behind a script', 137, 'Killed', 'killed in a shell', 'environment', undefined],
  [
    'a version problem',
    3,
    'Perhaps iptables or your kernel needs to be upgraded.',
    'unknown',
    'environment',
    undefined,
  ],
];

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
    expect(failure).toMatchObject({ reason: 'incompatible', scope: 'environment' });
    expect(failure?.message).toContain('cannot list table nat');
  });

  it.each([
    ['within a table', '*nat\n:KUBE-SERVICES - [0:0]'],
    ['within a line', '*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERV'],
    ['within the second table', '*filter\nCOMMIT\n*nat'],
    ['within the first of two', '*filter\n:A - [0:0]\n*nat\nCOMMIT'],
  ])('that ends %s is no shorter list, also where the tool calls it a success', async (_, text) => {
    const { failure } = await listing(`printf '${text}'`);
    expect(failure).toMatchObject({ reason: 'torn', scope: 'environment' });
  });

  it('that is killed halfway is no shorter list', async () => {
    const { failure } = await listing(print('*nat\nCOMMIT\n*filter'), 'kill -KILL $$');
    expect(failure).toMatchObject({ reason: 'killed', scope: 'environment' });
  });

  it('says what the tool said when it fails, and what is missing', async () => {
    const { failure } = await listing('echo "Permission denied (you must be root)" >&2', 'exit 4');
    expect(failure).toEqual({
      reason: 'not root',
      scope: 'environment',
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

  it('without the tool is no failure of the kernel', async () => {
    expect(await restore(scripts.path('absent'), '')).toMatchObject({ reason: 'missing', scope: 'environment' });
  });

  it('that does not end in time is ended', async () => {
    await scripts.add('x-restore', 'exec sleep 60');
    const failure = await restore(scripts.path('x'), '*nat\nCOMMIT\n', 300);
    expect(failure).toMatchObject({ reason: 'timed out', scope: 'environment' });
  });

  it('that a signal ends is no refusal, whatever the tool had said', async () => {
    await scripts.add('x-restore', 'echo "iptables-restore: line 3 failed" >&2', 'kill -SEGV $$');
    expect(await restore(scripts.path('x'), '')).toMatchObject({ reason: 'killed', scope: 'environment' });
  });

  it.each(RECORDED)('%s', async (_, status, stderr, reason, scope, line) => {
    const failure = await failing(status, stderr);
    expect(failure).toMatchObject({ reason, scope });
    expect(failure?.line).toBe(line);
    expect(failure?.message).toContain(stderr.split('\n').at(-1));
  });

  it('has a row here for each reason', () => {
    const elsewhere = ['missing', 'torn', 'incompatible', 'not started', 'timed out', 'killed'];
    const met = new Set([...elsewhere, ...RECORDED.map(([, , , reason]) => reason)]);
    expect(ROWS.map(({ reason }) => reason).filter((reason) => !met.has(reason))).toEqual([]);
  });
});

it('a program that the machine cannot start just now is not missing', async () => {
  const result = await runTool('true', ['x'.repeat(200_000)], { timeoutMs: 20_000 });
  expect(failureOf('true', result)).toMatchObject({ reason: 'not started', scope: 'environment' });
});
