/** What a sync tells those who follow it: stale flows, metrics, health checks. */
import { expect, it } from 'vitest';
import { KernelError } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { NO_DRIFT } from '../../src/dataplane/status.ts';
import { FakeKernel, fake, input, service } from './fake-backend.ts';

const engine = (kernel: FakeKernel) => new Reconciler(kernel, { signal: new AbortController().signal });
const names = (
  services: readonly { readonly port: { readonly name: { readonly name: string } } }[],
): readonly string[] => services.map(({ port }) => port.name.name);

it.each(['read', 'apply'] as const)(
  'what came with a sync that failed is reported with the one that is done: %s',
  async (failing) => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', [])]));
    kernel.disturb = (what) => {
      if (what === failing || what === 'apply') throw new KernelError('environment', 'not now');
    };
    const changed = { ...service('a', '10.0.0.1', ['1.1.1.2']), triggeredAt: [7] };
    await expect(reconciler.sync(input([changed]))).rejects.toThrow('not now');
    await expect(reconciler.sync(input([], ['ns/b:p/TCP']))).rejects.toThrow('not now');
    kernel.disturb = () => undefined;
    const report = await reconciler.sync(input([service('c', '10.0.0.3', [])]));
    expect([...names(report.services)].sort()).toEqual(['a', 'c']);
    expect(report).toMatchObject({ gone: ['ns/b:p/TCP'], triggeredAt: [7] });
    expect(await reconciler.sync(input([]))).toMatchObject({ services: [], gone: [], triggeredAt: [] });
  },
);

it('what others had changed is told when a write failed for it, and only then', async () => {
  const kernel = new FakeKernel();
  const reconciler = engine(kernel);
  await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', [])]));
  let isFlushed = false;
  kernel.disturb = (what) => {
    if (what !== 'apply' || isFlushed) return;
    isFlushed = true;
    kernel.objects.clear();
    kernel.objects.set('theirs', fake('theirs', 'x'));
    throw new KernelError('content', 'no such table');
  };
  const { drift } = await reconciler.sync(input([service('b', '10.0.0.2', ['1.1.1.3'])]));
  expect(drift.missing).toEqual(expect.arrayContaining(['base', 'vip 10.0.0.1', 'vip 10.0.0.2', 'endpoint a 1.1.1.1']));
  expect(drift).toMatchObject({ changed: [], foreign: ['theirs'] });
  expect((await reconciler.sync(input([service('b', '10.0.0.2', [])]))).drift).toEqual(NO_DRIFT);
});

it('a Service that the kernel refuses is no drift', async () => {
  const kernel = new FakeKernel();
  const reconciler = engine(kernel);
  await reconciler.sync(input([service('a', '10.0.0.1', [])]));
  kernel.refuses = (content) => content === 'to bad';
  const { drift } = await reconciler.sync(input([service('bad', '10.0.0.9', []), service('c', '10.0.0.3', [])]));
  expect(drift).toEqual(NO_DRIFT);
});
