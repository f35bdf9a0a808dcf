/** The backend over its tools: what it gives them, what it reads, and what it makes of their failures. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../../src/backends/iptables/index.ts';
import { type DesiredIptablesObject, dispatchChain, frontendLines } from '../../../src/backends/iptables/objects.ts';
import type { IptablesPayload } from '../../../src/backends/iptables/plan.ts';
import { chain, jump } from '../../../src/backends/xtables/objects.ts';
import type { RestoreInput } from '../../../src/backends/xtables/restore.ts';
import type { Backend, Batch, Change, KernelError } from '../../../src/dataplane/contract.ts';
import type { Mutex } from '../../../src/dataplane/mutex.ts';
import type { IptablesVariant } from '../../../src/kernel/iptables.ts';
import { makeScripts, print, type Scripts } from '../../host/scripts.ts';

const { signal } = new AbortController();
let scripts: Scripts;
beforeAll(async () => {
  scripts = await makeScripts();
});
afterAll(() => scripts.remove());

const backendWith = (name: string, variant: IptablesVariant = 'nft'): Backend<DesiredIptablesObject, IptablesPayload> =>
  iptablesBackend({ family: 'IPv4', tools: { variant, IPv4: scripts.path(name), IPv6: 'of the other family' } });

const SEP = chain('nat', 'KUBE-SEP-AAAAAAAAAAAAAAAA', ['-j ACCEPT', '-j DROP']);
const CHANGES: readonly Change<DesiredIptablesObject>[] = [
  { op: 'add', object: chain('filter', 'KUBE-FORWARD', ['-j ACCEPT']) },
  { op: 'add', object: SEP },
  { op: 'remove', object: chain('nat', 'KUBE-SVC-BBBBBBBBBBBBBBBB', []) },
  { op: 'add', object: jump('nat', 'OUTPUT', '-j KUBE-SERVICES') },
];

const batchesOf = (
  backend: Backend<DesiredIptablesObject, IptablesPayload>,
  changes: readonly Change<DesiredIptablesObject>[],
): readonly Batch<IptablesPayload>[] => [...backend.plan(changes)].filter((batch) => batch !== undefined);

const batchOf = (backend: Backend<DesiredIptablesObject, IptablesPayload>): Batch<RestoreInput> => {
  const [batch] = batchesOf(backend, CHANGES);
  if (batch === undefined || 'settings' in batch.payload) throw new Error('no batch of rules');
  return { ...batch, payload: batch.payload };
};

describe('the driver', () => {
  it('reads what the tool of its family lists', async () => {
    await scripts.add(
      'reads-save',
      print('*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A OUTPUT -j KUBE-SERVICES\nCOMMIT'),
    );
    const objects = await backendWith('reads').read(signal);
    expect([...objects.keys()]).toEqual(['nat OUTPUT -> KUBE-SERVICES', 'nat KUBE-SERVICES']);
  });

  it('times its own listing, not the wait for those of others', async () => {
    await scripts.add('waits-save', print('*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT'));
    const tools = { variant: 'nft', IPv4: scripts.path('waits'), IPv6: '' } as const;
    const inTurn: Mutex = async (run) => {
      await sleep(2_000);
      return run();
    };
    const backend = iptablesBackend({ family: 'IPv4', tools, inTurn });
    await backend.read(signal);
    const own = backend.readMs?.() ?? 0;
    expect(own).toBeGreaterThan(0);
    expect(own).toBeLessThan(2_000);
  });

  it('fails to read for reasons of the host only, and never gives half a table', async () => {
    await scripts.add('half-save', print('*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT'), 'exit 1');
    await expect(backendWith('half').read(signal)).rejects.toMatchObject({ scope: 'environment' });
    await expect(backendWith('absent').read(signal)).rejects.toMatchObject({ scope: 'environment' });
  });

  it('gives the tool the batch as planned, and tells the counter', async () => {
    await scripts.add('writes-restore', `cat >'${scripts.path('seen')}'`);
    const inputs: RestoreInput[] = [];
    const tools = { variant: 'nft', IPv4: scripts.path('writes'), IPv6: '' } as const;
    const backend = iptablesBackend({ family: 'IPv4', tools, onRestore: (input) => inputs.push(input) });
    const batch = batchOf(backend);
    await backend.apply(batch, signal);
    expect(await readFile(scripts.path('seen'), 'utf8')).toBe(batch.payload.text);
    expect(inputs).toEqual([batch.payload]);
  });

  it('plans for the kernel only: what a dispatch tree is made of has become chains by then', () => {
    const wishes: readonly DesiredIptablesObject[] = [
      frontendLines('frontend', []),
      dispatchChain('nat', 'KUBE-SERVICES', []),
    ];
    const changes = wishes.map((object) => ({ op: 'add', object }) as const);
    expect(batchesOf(backendWith('x'), changes)).toEqual([]);
  });

  it('gives each tool pieces of its own size', () => {
    const many = Array.from({ length: 3_000 }, (_, n) => {
      const digits = [...String(n).padStart(16, '0')].map((digit) => 'ABCDEFGHIJ'.charAt(Number(digit))).join('');
      return { op: 'add', object: chain('nat', `KUBE-SEP-${digits}`, ['-j ACCEPT']) } as const;
    });
    expect(batchesOf(backendWith('x', 'nft'), many)).toHaveLength(2);
    expect(batchesOf(backendWith('x', 'legacy'), many)).toHaveLength(1);
  });
});

describe('a refusal', () => {
  const refusal = async (status: number, message: string): Promise<KernelError> => {
    await scripts.add('fails-restore', 'cat >/dev/null', `echo '${message}' >&2`, `exit ${status}`);
    const backend = backendWith('fails');
    return backend.apply(batchOf(backend), signal).then(
      () => {
        throw new Error('was taken');
      },
      (error: KernelError) => error,
    );
  };
  /** The number of the line of the batch that reads so. */
  const lineOf = (line: string): number => batchOf(backendWith('fails')).payload.text.split('\n').indexOf(line) + 1;

  it.each([
    ['a rule', '-A KUBE-SEP-AAAAAAAAAAAAAAAA -j DROP', ['nat KUBE-SEP-AAAAAAAAAAAAAAAA']],
    ['a declaration', ':KUBE-FORWARD - [0:0]', ['filter KUBE-FORWARD']],
    ['a deletion', '-X KUBE-SVC-BBBBBBBBBBBBBBBB', ['nat KUBE-SVC-BBBBBBBBBBBBBBBB']],
    ['a jump, which is of no Service', '-I OUTPUT -j KUBE-SERVICES', []],
    ['a whole table', 'COMMIT', []],
  ])('of %s names its chain', async (_, line, suspects) => {
    expect(lineOf(line)).toBeGreaterThan(0);
    const error = await refusal(2, `Error occurred at line: ${lineOf(line)}`);
    expect(error).toMatchObject({ name: 'KernelError', scope: 'content', suspects });
  });

  it('by the nf_tables kernel is about the content too', async () => {
    const line = lineOf('-A KUBE-SEP-AAAAAAAAAAAAAAAA -j ACCEPT');
    const error = await refusal(4, `line ${line}: RULE_APPEND failed (Invalid argument): rule in chain X`);
    expect(error).toMatchObject({ scope: 'content', suspects: ['nat KUBE-SEP-AAAAAAAAAAAAAAAA'] });
  });

  it('for want of a permission is about the host, and names nobody', async () => {
    expect(await refusal(4, 'Permission denied (you must be root)')).toMatchObject({
      scope: 'environment',
      suspects: [],
    });
  });
});

describe('an object in the language of the tool', () => {
  const { format } = iptablesBackend({ family: 'IPv4' });
  it.each([
    [
      SEP,
      ':KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]\n-A KUBE-SEP-AAAAAAAAAAAAAAAA -j ACCEPT\n-A KUBE-SEP-AAAAAAAAAAAAAAAA -j DROP',
    ],
    [jump('nat', 'OUTPUT', '-m comment --comment x -j KUBE-SERVICES'), '-A OUTPUT -j KUBE-SERVICES'],
    [dispatchChain('nat', 'KUBE-SERVICES', ['-j A', '-j B']), '-A KUBE-SERVICES -j A\n-A KUBE-SERVICES -j B'],
    [
      frontendLines('f', [
        { table: 'nat', chain: 'KUBE-SERVICES', to: { ip: '10.0.0.1', protocol: 'TCP', port: 1 }, rule: '-j A' },
      ]),
      '-A KUBE-SERVICES -j A',
    ],
  ] as const)('%o', (object, text) => {
    expect(format(object)).toBe(text);
  });
});
