/** What is told of what is programmed, in every state that an owner can be in. */
import { describe, expect, it } from 'vitest';
import type { Arranger, Change } from '../../src/dataplane/contract.ts';
import { KernelError } from '../../src/dataplane/contract.ts';
import type { Programmed } from '../../src/dataplane/programmed.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { isPortOf } from '../../src/model/service.ts';
import { newKernel, start as startIpvs } from '../backends/ipvs/world.ts';
import { readPages } from '../cases/page.ts';
import { newNode, perform } from '../cases/play.ts';
import { FakeKernel, type FakeObject, fake, input, service } from './fake-backend.ts';

const bench = (kernel = new FakeKernel()) => {
  const reconciler = new Reconciler(kernel, { signal: new AbortController().signal, now: () => 1_000 });
  const told = (name: string): Programmed | undefined =>
    reconciler.programmed((owner) => isPortOf(owner, `ns/${name}`))[0];
  /** `+` = all there as wanted; then what is wanted, and what is there. */
  const lines = (name: string): readonly string[] =>
    (told(name)?.objects ?? []).map(
      ({ id, wanted, applied, isApplied }) =>
        `${isApplied ? '+' : '-'} ${id} | ${wanted ?? 'nothing'} | ${applied.map((part) => part.text ?? part.id).join()}`,
    );
  return { kernel, reconciler, told, lines };
};

describe('what is programmed for an owner', () => {
  it('is all that it wants, once it is done', async () => {
    const { reconciler, told, lines } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('ab', '10.0.0.2', [])]));
    expect(told('a')?.status).toMatchObject({ owner: 'ns/a:p/TCP', state: 'Done', since: 1_000 });
    expect(lines('a')).toEqual([
      '+ vip 10.0.0.1 | vip 10.0.0.1: to a | vip 10.0.0.1: to a',
      '+ endpoint a 1.1.1.1 | endpoint a 1.1.1.1: 10.0.0.1 | endpoint a 1.1.1.1: 10.0.0.1',
    ]);
    expect(told('nobody')).toBeUndefined();
  });

  it('is the last good objects besides what is refused', async () => {
    const { kernel, reconciler, told, lines } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    kernel.refuses = (content) => content === '10.0.0.9';
    await reconciler.sync(input([service('a', '10.0.0.9', ['1.1.1.1'])]));
    expect(told('a')?.status).toMatchObject({ state: 'Quarantined', message: expect.stringContaining('refused') });
    expect(lines('a')).toEqual([
      '- vip 10.0.0.1 | nothing | vip 10.0.0.1: to a',
      '- endpoint a 1.1.1.1 | endpoint a 1.1.1.1: 10.0.0.9 | endpoint a 1.1.1.1: 10.0.0.1',
      '- vip 10.0.0.9 | vip 10.0.0.9: to a | ',
    ]);
  });

  it('is not yet what waits to be written', async () => {
    const { kernel, reconciler, told, lines } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', [])]));
    kernel.disturb = (what) => {
      if (what === 'apply') throw new KernelError('environment', 'somebody holds the lock');
    };
    await expect(reconciler.sync(input([service('a', '10.0.0.2', [])]))).rejects.toThrow('lock');
    expect(told('a')?.status).toMatchObject({ state: 'Pending', message: 'somebody holds the lock' });
    expect(lines('a')).toEqual(['- vip 10.0.0.2 | vip 10.0.0.2: to a | ']);
  });

  it('is the older one’s, where both want it', async () => {
    const { reconciler, told, lines } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', [], 1), service('b', '10.0.0.1', [], 2)]));
    expect(told('b')?.status.state).toBe('Shadowed');
    expect(lines('a')).toEqual(['+ vip 10.0.0.1 | vip 10.0.0.1: to a | vip 10.0.0.1: to a']);
    expect(lines('b')).toEqual(['- vip 10.0.0.1 | vip 10.0.0.1: to b | vip 10.0.0.1: to a']);
  });
});

describe('where a backend arranges', () => {
  class Grouping extends FakeKernel {
    arranger(): Arranger<FakeObject> {
      const vips = new Map<string, string>();
      return {
        arrange: (changes): readonly Change<FakeObject>[] => {
          for (const { op, object } of changes.filter(({ object: { id } }) => id.startsWith('vip'))) {
            if (op === 'remove') vips.delete(object.id);
            else vips.set(object.id, object.content);
          }
          const rest = changes.filter(({ object: { id } }) => !id.startsWith('vip'));
          return [...rest, { op: 'add', object: fake('tree', [...vips].join()) }];
        },
        sources: (id) => (id === 'tree' ? [...vips.keys()] : []),
        mixes: true,
        standing: () => ({ count: () => undefined, merge: () => undefined }),
      };
    }
  }

  it('it is told into what, without what is others’ there', async () => {
    const { reconciler, lines } = bench(new Grouping());
    await reconciler.sync(input([service('a', '10.0.0.1', [], 1), service('b', '10.0.0.1', [], 2)]));
    expect(lines('a')).toEqual(['+ vip 10.0.0.1 | vip 10.0.0.1: to a | tree']);
    expect(lines('b')).toEqual(['- vip 10.0.0.1 | vip 10.0.0.1: to b | tree']);
  });

  const everything = (told: readonly Programmed[]): readonly (readonly [string, boolean, readonly string[]])[] =>
    told.flatMap(({ objects }) =>
      objects.map(({ id, isApplied, applied }) => [id, isApplied, applied.map((part) => part.id)] as const),
    );

  it('iptables: lines are in their dispatch chains', async () => {
    const page = readPages().find(({ name }) => name === 'contested-node-port');
    if (page === undefined) throw new Error('the page is gone');
    const node = await newNode(page);
    for (const step of page.steps.slice(0, 2)) {
      perform(step, node.cluster, node.program);
      await node.program.sync();
    }
    const of = (name: string) =>
      everything(node.program.reconcilers.IPv4.programmed((owner) => isPortOf(owner, `shop/${name}`)));
    expect(of('old').slice(0, 2)).toEqual([
      ['frontend 10.96.0.10 tcp 80', true, ['nat KUBE-SERVICES']],
      ['node-port tcp 30080', true, ['nat KUBE-NODEPORTS']],
    ]);
    expect(of('young').map(([id, isApplied]) => [id.replace(/-[A-Z0-9]{16}$/, ''), isApplied])).toEqual([
      ['frontend 10.96.0.20 tcp 80', true],
      ['node-port tcp 30080', false],
      ['nat KUBE-EXT', true],
      ['nat KUBE-SVC', true],
      ['nat KUBE-SEP', true],
    ]);
  });

  it('ipvs: frontends are virtual servers, real servers and entries', async () => {
    const life = startIpvs(newKernel());
    await life.sync([service('a', '10.96.0.1', ['10.200.0.1'])]);
    const told = everything(life.reconciler.programmed((owner) => isPortOf(owner, 'ns/a')));
    expect(told.filter(([, isApplied]) => !isApplied)).toEqual([]);
    const [, , parts] = told.find(([id]) => id.startsWith('frontend')) ?? [];
    expect(parts).toHaveLength(3);
  });
});
