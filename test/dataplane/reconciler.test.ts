import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelError } from '../../src/dataplane/contract.ts';
import { Reconciler, type ReconcilerOptions } from '../../src/dataplane/reconciler.ts';
import { FakeKernel, fake, input, NODE, service } from './fake-backend.ts';

const engine = (kernel: FakeKernel, options: Partial<ReconcilerOptions> = {}) =>
  new Reconciler(kernel, { signal: new AbortController().signal, ...options });

const refusing =
  (...names: string[]) =>
  (content: string): boolean =>
    names.some((name) => content === `to ${name}`);

describe('a sync', () => {
  it('brings services and base into an empty kernel, the first service by itself', async () => {
    const kernel = new FakeKernel();
    const report = await engine(kernel).sync(
      input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', [])]),
    );
    expect(kernel.dump()).toEqual([
      'base: za',
      'endpoint a 1.1.1.1: 10.0.0.1',
      'vip 10.0.0.1: to a',
      'vip 10.0.0.2: to b',
    ]);
    expect(kernel.log).toEqual([['add base', 'add vip 10.0.0.1', 'add endpoint a 1.1.1.1'], ['add vip 10.0.0.2']]);
    expect(report).toMatchObject({ full: true, changes: { added: 4, replaced: 0, removed: 0 } });
  });

  it('writes for one changed endpoint that endpoint and nothing else', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input(Array.from({ length: 200 }, (_, i) => service(`s${i}`, `10.0.0.${i}`, ['1.1.1.1']))));
    kernel.log.length = 0;
    await reconciler.sync(input([service('s7', '10.0.0.7', ['1.1.1.2'])]));
    expect(kernel.log).toEqual([['add endpoint s7 1.1.1.2', 'remove endpoint s7 1.1.1.1']]);
    expect(kernel.reads).toBe(1);
  });

  it('takes everything of an owner away when it is gone', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    await reconciler.sync(input([], ['ns/a:p/TCP']));
    expect(kernel.dump()).toEqual(['base: za']);
    expect(reconciler.statuses().map(({ owner }) => owner)).toEqual(['base']);
  });

  it('adopts what a predecessor left: equal objects are not written, the rest is removed last', async () => {
    const kernel = new FakeKernel();
    for (const object of [fake('base', 'za'), fake('vip 10.0.0.1', 'to a'), fake('vip 10.0.0.9', 'to old')]) {
      kernel.objects.set(object.id, object);
    }
    await engine(kernel).sync(input([service('a', '10.0.0.1', []), service('b', '10.0.0.2', [])]));
    expect(kernel.log).toEqual([['add vip 10.0.0.2', 'remove vip 10.0.0.9']]);
  });

  it('gives an object that two services want to the older one, and says so', async () => {
    const kernel = new FakeKernel();
    const heard: string[] = [];
    const reconciler = engine(kernel, { onNote: (owner, note) => heard.push(`${owner}: ${note}`) });
    await reconciler.sync(input([service('young', '10.0.0.1', [], 5)]));
    expect(heard).toEqual([]);
    await reconciler.sync(input([service('old', '10.0.0.1', [], 3)]));
    await reconciler.sync(input([service('other', '10.0.0.2', [])]));
    expect(heard).toEqual(['ns/young:p/TCP: vip 10.0.0.1 belongs to ns/old:p/TCP']);
    expect(kernel.dump()).toContain('vip 10.0.0.1: to old');
    expect(reconciler.status('ns/young:p/TCP')).toMatchObject({
      state: 'Shadowed',
      message: 'vip 10.0.0.1 belongs to ns/old:p/TCP',
    });
    await reconciler.sync(input([], ['ns/old:p/TCP']));
    expect(kernel.dump()).toContain('vip 10.0.0.1: to young');
    expect(reconciler.status('ns/young:p/TCP').state).toBe('Done');
    await reconciler.sync(input([service('old', '10.0.0.1', [], 3)]));
    expect(heard).toHaveLength(2);
  });
});

describe('a refusal by the kernel', () => {
  it.each([{ names: false }, { names: true }])(
    'quarantines the culprits and serves everybody else ($names)',
    async ({ names }) => {
      const kernel = new FakeKernel();
      kernel.refuses = refusing('s3', 's12');
      kernel.names = names;
      const heard: string[] = [];
      const reconciler = engine(kernel, { onQuarantine: (owner) => heard.push(owner) });
      await reconciler.sync(input(Array.from({ length: 20 }, (_, i) => service(`s${i}`, `10.0.0.${i}`, []))));
      expect(kernel.objects.size).toBe(19);
      expect(heard.sort()).toEqual(['ns/s12:p/TCP', 'ns/s3:p/TCP']);
      expect(reconciler.status('ns/s3:p/TCP')).toMatchObject({ state: 'Quarantined', attempts: 1 });
      expect(reconciler.status('ns/s4:p/TCP').state).toBe('Done');
    },
  );

  it('leaves the last good objects of a service whose change is refused', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', [])]));
    kernel.refuses = (content) => content === '10.0.0.5';
    await reconciler.sync(input([service('a', '10.0.0.5', ['1.1.1.2']), service('b', '10.0.0.2', ['2.2.2.2'])]));
    expect(kernel.dump()).toEqual([
      'base: za',
      'endpoint a 1.1.1.1: 10.0.0.1',
      'endpoint b 2.2.2.2: 10.0.0.2',
      'vip 10.0.0.1: to a',
      'vip 10.0.0.2: to b',
    ]);
  });

  it('tries the culprit again after its own back-off, and at once when it changes', async () => {
    const kernel = new FakeKernel();
    let now = 1_000_000;
    const reconciler = engine(kernel, { now: () => now, clock: () => now });
    kernel.refuses = refusing('a');
    await reconciler.sync(input([service('a', '10.0.0.1', [])]));
    expect(reconciler.nextRetryMs).toBe(1_000);
    await reconciler.sync(input([]));
    expect(reconciler.status('ns/a:p/TCP').attempts).toBe(1);
    now += 1_000;
    await reconciler.sync(input([]));
    expect(reconciler.status('ns/a:p/TCP').attempts).toBe(2);
    expect(reconciler.nextRetryMs).toBe(2_000);
    kernel.refuses = () => false;
    await reconciler.sync(input([service('a', '10.0.0.9', [])]));
    expect(reconciler.status('ns/a:p/TCP').state).toBe('Done');
    expect(reconciler.nextRetryMs).toBeUndefined();
    expect(kernel.dump()).toContain('vip 10.0.0.9: to a');
  });

  it('sets aside a service that cannot be compiled', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', 'throws', []), service('b', '10.0.0.2', [])]));
    expect(reconciler.status('ns/a:p/TCP')).toMatchObject({
      state: 'Quarantined',
      message: 'cannot be compiled: no rule for this',
    });
    expect(kernel.dump()).toContain('vip 10.0.0.2: to b');
  });

  it('fails as a whole when the base is refused', async () => {
    const kernel = new FakeKernel();
    kernel.refuses = (content) => content === 'za';
    await expect(engine(kernel).sync(input([]))).rejects.toThrow('refused: base');
  });
});

describe('a kernel that cannot be written just now', () => {
  it.each(['read', 'apply'] as const)('loses nothing that was handed over (%s fails)', async (failing) => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    kernel.disturb = (what) => {
      if (what === failing) throw new KernelError('environment', 'no such tool');
    };
    await expect(reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]))).rejects.toThrow('no such tool');
    expect(reconciler.lastError).toBe('no such tool');
    await expect(reconciler.sync(input([service('b', '10.0.0.2', [])]))).rejects.toThrow('no such tool');
    kernel.disturb = () => undefined;
    await reconciler.sync(input([]));
    expect(kernel.dump()).toEqual([
      'base: za',
      'endpoint a 1.1.1.1: 10.0.0.1',
      'vip 10.0.0.1: to a',
      'vip 10.0.0.2: to b',
    ]);
    expect(reconciler.lastError).toBeUndefined();
  });

  it('keeps everybody when it happens in the middle of an isolation', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([]));
    kernel.refuses = refusing('bad');
    let applies = 0;
    kernel.disturb = (what) => {
      if (what === 'apply') applies += 1;
      if (applies > 3) throw new KernelError('environment', 'locked');
    };
    const services = ['x', 'bad', 'y', 'z'].map((name, i) => service(name, `10.0.0.${i}`, []));
    await expect(reconciler.sync(input(services))).rejects.toThrow('locked');
    kernel.disturb = () => undefined;
    await reconciler.sync(input([]));
    expect(kernel.dump()).toEqual(['base: za', 'vip 10.0.0.0: to x', 'vip 10.0.0.2: to y', 'vip 10.0.0.3: to z']);
  });

  it('stops between batches when told to, and finishes the one under way', async () => {
    const kernel = new FakeKernel();
    const stop = new AbortController();
    kernel.maxBatch = 2;
    kernel.objects.set('other', fake('other', 'not empty'));
    kernel.disturb = (what) => {
      if (what === 'apply') stop.abort(new Error('asked to stop'));
    };
    const reconciler = engine(kernel, { signal: stop.signal });
    const services = Array.from({ length: 6 }, (_, i) => service(`s${i}`, `10.0.0.${i}`, []));
    await expect(reconciler.sync(input(services))).rejects.toThrow('asked to stop');
    expect(kernel.log).toHaveLength(1);
  });
});

describe('an audit', () => {
  it('finds and repairs what is missing, changed and foreign, and nothing else', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', [])]));
    const before = kernel.dump();
    kernel.objects.delete('vip 10.0.0.1');
    kernel.objects.set('vip 10.0.0.2', fake('vip 10.0.0.2', 'to somewhere else'));
    kernel.objects.set('vip 10.0.0.3', fake('vip 10.0.0.3', 'to nobody'));
    kernel.log.length = 0;
    const drift = await reconciler.audit();
    expect(drift).toEqual({ missing: ['vip 10.0.0.1'], changed: ['vip 10.0.0.2'], foreign: ['vip 10.0.0.3'] });
    expect(kernel.dump()).toEqual(before);
    expect(kernel.log.flat()).toHaveLength(3);
    expect(await reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
  });

  it('does not take for drift what is written while it reads', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    const read = kernel.read.bind(kernel);
    kernel.read = async () => {
      const found = await read();
      await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.2'])]));
      return found;
    };
    expect(await reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
    expect(kernel.dump()).toContain('endpoint a 1.1.1.2: 10.0.0.1');
  });

  it('tries again to remove what could not be removed', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    const apply = kernel.apply.bind(kernel);
    kernel.apply = async (batch) => {
      if (batch.payload.some(({ op }) => op === 'remove')) throw new KernelError('content', 'in use by others');
      return apply(batch);
    };
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.2'])]));
    expect(kernel.dump()).toContain('endpoint a 1.1.1.2: 10.0.0.1');
    expect(kernel.dump()).toContain('endpoint a 1.1.1.1: 10.0.0.1');
    kernel.apply = apply;
    await reconciler.audit();
    expect(kernel.dump()).not.toContain('endpoint a 1.1.1.1: 10.0.0.1');
  });
});

describe('laws', () => {
  const event = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    ip: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'),
    endpoints: fc.subarray(['1.1.1.1', '1.1.1.2', '1.1.1.3']),
    gone: fc.boolean(),
    fails: fc.constantFrom('no', 'no', 'no', 'environment', 'content'),
  });

  it('any order of events, with failing writes and audits between, ends in what a fresh start makes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 25 }), async (events) => {
        const kernel = new FakeKernel();
        const reconciler = engine(kernel, { clock: () => 0, lastRetryMs: 0 });
        const last = new Map<string, ReturnType<typeof service>>();
        for (const { name, ip, endpoints, gone, fails } of events) {
          const isGone = gone && last.has(name);
          const wanted = service(name, ip, endpoints, name.charCodeAt(0));
          if (isGone) last.delete(name);
          else last.set(name, wanted);
          let left = 2;
          kernel.disturb = (what) => {
            left -= 1;
            if (fails === 'environment' && left >= 0) throw new KernelError('environment', 'not now');
            if (fails === 'content' && what === 'apply' && left >= 0) throw new KernelError('content', 'odd');
          };
          await reconciler.sync(isGone ? input([], [`ns/${name}:p/TCP`]) : input([wanted])).catch(() => undefined);
        }
        kernel.disturb = () => undefined;
        await reconciler.sync(input([]));
        await reconciler.audit();
        const fresh = new FakeKernel();
        await engine(fresh).sync(input([...last.values()]));
        expect(kernel.dump()).toEqual(fresh.dump());
        expect(reconciler.statuses().every(({ state }) => state === 'Done' || state === 'Shadowed')).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('a node that changes rewrites what depends on it', async () => {
    const kernel = new FakeKernel();
    const reconciler = engine(kernel);
    await reconciler.sync(input([]));
    await reconciler.sync({ ...input([], [], { ...NODE, zone: 'zb' }), nodeChanged: true });
    expect(kernel.dump()).toEqual(['base: zb']);
  });
});
