/** The engine over a kernel in memory: one Service that is refused, answers that are lost, what others do and have. */
import { describe, expect, it } from 'vitest';
import { setDefinition } from '../../../src/backends/ipvs/names.ts';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import { diff } from '../../../src/dataplane/desired.ts';
import { MASQUERADE, newDestination, newService, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import { parseCIDR } from '../../../src/model/address.ts';
import { addEntry, createSet, destroySet, swapSets } from '../../../src/netlink/ipset.ts';
import { type MemoryKernel, SETTINGS } from './memory-kernel.ts';
import { everyKind, newKernel, nodeOf, start, tcp, withLocal } from './world.ts';

const { signal } = new AbortController();
const NO_DRIFT = { missing: [], changed: [], foreign: [] };
const GOOD = [tcp('a', '10.96.0.1', ['10.200.0.1']), tcp('b', '10.96.0.2', ['10.200.0.2'])];

const serves = (kernel: MemoryKernel, ip: string, server: string): boolean => kernel.ipvs.has(`-t ${ip}:80`, server);

describe('a Service that the kernel refuses', () => {
  const odd = tcp('odd', '10.96.0.3', ['10.200.0.3'], { scheduler: 'lc', nodePort: 30_003 });

  it('is set aside by itself, leaves nothing, and is served when the cause is gone', async () => {
    const kernel = newKernel();
    kernel.ipvs.schedulers.delete('lc');
    const life = start(kernel);
    await life.sync([GOOD, odd].flat());
    expect(life.refused).toEqual([expect.stringMatching(/^ns\/odd:p\/TCP: -A -t 10\.96\.0\.3:80 -s lc: ENOENT/)]);
    expect(life.reconciler.status('ns/odd:p/TCP')).toMatchObject({ state: 'Quarantined', attempts: 1 });
    expect(life.reconciler.status('ns/a:p/TCP').state).toBe('Done');
    const without = newKernel();
    await start(without).sync(GOOD);
    expect(kernel.listing()).toEqual(without.listing());

    kernel.ipvs.schedulers.add('lc');
    kernel.time += 60_000;
    await life.sync([]);
    expect(life.reconciler.status('ns/odd:p/TCP').state).toBe('Done');
    expect(serves(kernel, '10.96.0.3', '10.200.0.3:8080')).toBe(true);
  });

  it('is set aside by itself among many that change with it', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    const many = Array.from({ length: 40 }, (_, n) => tcp(`s${n}`, `10.96.1.${n}`, ['10.200.0.1']));
    await life.sync(many);
    const changed = many.map(({ port }) => tcp(port.name.name, port.clusterIP, ['10.200.0.1', '10.200.0.2']));
    // no kernel sends to a group
    const broken = tcp('s7', '10.96.1.7', ['224.0.0.1']);
    await life.sync(changed.map((one) => (one.port.name.name === 's7' ? broken : one)));
    expect(life.refused).toEqual(['ns/s7:p/TCP: -a -t 10.96.1.7:80 -r 224.0.0.1:8080 -m -w 1: EINVAL']);
    for (const { port } of many) {
      expect(serves(kernel, port.clusterIP, '10.200.0.1:8080')).toBe(true);
      expect(serves(kernel, port.clusterIP, '10.200.0.2:8080')).toBe(port.name.name !== 's7');
    }
  });

  it('as there is no room for it in a set, is set aside by itself', async () => {
    const kernel = newKernel();
    kernel.sets.capacity = 2;
    const life = start(kernel);
    await life.sync(GOOD);
    await life.sync([tcp('c', '10.96.0.3', ['10.200.0.3'])]);
    expect(life.refused).toEqual([expect.stringMatching(/^ns\/c:p\/TCP: add KUBE-.*: error 4352/)]);
    expect(serves(kernel, '10.96.0.3', '10.200.0.3:8080')).toBe(false);
    expect(kernel.listing().join('\n')).not.toContain('10.96.0.3');
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
  });
});

describe('answers that are lost', () => {
  it.each(['ipvs', 'sets', 'links'] as const)(
    'of %s fail the sync as a whole, and the next one mends it',
    async (end) => {
      const kernel = newKernel();
      const life = start(kernel);
      await life.sync(GOOD);
      kernel.sockets[end].losesAnswers = true;
      const more = everyKind('IPv4');
      await expect(life.sync(more)).rejects.toMatchObject({ scope: 'environment' });
      expect(life.refused).toEqual([]);
      const report = await life.sync([]);
      expect(report.full).toBe(true);
      expect(diff(await kernel.backend('IPv4').read(signal), life.reconciler.want)).toEqual([]);
      const fresh = newKernel();
      await start(fresh).sync([...GOOD, ...more]);
      expect(kernel.listing()).toEqual(fresh.listing());
    },
  );
});

describe('what others do', () => {
  it('is found and repaired: flushed servers, a link that is deleted', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync(everyKind('IPv4'));
    const before = kernel.listing().map((line) => line.replace(/"index":\d+/, ''));
    kernel.ipvs.flush();
    kernel.links.remove('kube-ipvs0');
    const drift = await life.reconciler.audit();
    expect(drift.missing).toContain('link kube-ipvs0');
    expect(drift.missing.length).toBeGreaterThan(100);
    expect(kernel.listing().map((line) => line.replace(/"index":\d+/, ''))).toEqual(before);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
  });

  it('is repaired where rules look into it: a set swapped for a smaller one, with its entries and without', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync(GOOD);
    const before = kernel.listing();
    const { sets } = kernel.open().handles;
    const ours = setDefinition('CLUSTER-IP', 'IPv4');
    const theirs = { ...ours, name: 'THEIRS', maxEntries: 100 };
    sets.execute([createSet(theirs, 0), swapSets('THEIRS', ours.name), destroySet('THEIRS')]);
    sets.execute([addEntry(ours, { address: '10.96.0.2', protocol: 'tcp', port: 80 })]);
    expect(await life.reconciler.audit()).toEqual({
      missing: ['entry KUBE-CLUSTER-IP 10.96.0.1,tcp:80'],
      changed: ['set KUBE-CLUSTER-IP'],
      foreign: [],
    });
    expect(kernel.listing()).toEqual(before);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    expect(life.refused).toEqual([]);
  });

  it('does not stop a change that comes before the next look', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync(GOOD);
    kernel.links.remove('kube-ipvs0');
    kernel.ipvs.flush();
    await life.sync([tcp('c', '10.96.0.3', ['10.200.0.3'])]);
    expect(life.refused).toEqual([]);
    expect(
      kernel
        .listing()
        .filter((line) => line.includes('"prefix":32'))
        .join(),
    ).toMatch(/10\.96\.0\.1.*10\.96\.0\.2.*10\.96\.0\.3/);
    for (const n of [1, 2, 3]) expect(serves(kernel, `10.96.0.${n}`, `10.200.0.${n}:8080`)).toBe(true);
  });

  it('as an endpoint of ours that is deleted, does not stop its change', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync(GOOD);
    kernel.ipvs.flush();
    await life.sync([tcp('a', '10.96.0.1', ['10.200.0.9']), tcp('b', '10.96.0.2', [])]);
    expect(life.refused).toEqual([]);
    expect(serves(kernel, '10.96.0.1', '10.200.0.9:8080')).toBe(true);
    expect(kernel.ipvs.has('-t 10.96.0.2:80')).toBe(true);
  });
});

/** Servers, addresses and sets that are not ours; one server stands at an address of the node. */
const settle = (kernel: MemoryKernel): void => {
  const { ipvs, sets } = kernel.open().handles;
  const their = { protocol: 'TCP', address: '192.0.2.1', port: 80 } as const;
  const failures = ipvs.execute([
    newService(their, { ...PLAIN, scheduler: 'wlc' }),
    newDestination(their, { address: '192.0.2.9', port: 80 }, { ...MASQUERADE, forwarding: 'route', weight: 7 }),
    newService({ fwmark: 77, family: 'IPv4' }, PLAIN),
    newService({ fwmark: 77, family: 'IPv6' }, PLAIN),
    newService({ protocol: 'TCP', address: '10.250.0.1', port: 4_444 }, PLAIN),
    newService({ protocol: 'UDP', address: '10.250.0.1', port: 30_000 }, PLAIN),
    newService({ protocol: 'TCP', address: 'fd50::1', port: 30_000 }, PLAIN),
  ]);
  expect(failures).toEqual([]);
  kernel.links.add('theirs', 'dummy');
  kernel.links.addAddress('theirs', '192.0.2.1', 32);
  const set = { name: 'THEIRS', type: 'hash:ip', family: 'IPv4', maxEntries: 9 } as const;
  sets.run(createSet(set, 0));
  sets.run(addEntry(set, { address: '192.0.2.1' }));
};

describe('what others have', () => {
  it('is left alone: at the start, by changes, at each look, and by cleanup', async () => {
    const kernel = newKernel();
    settle(kernel);
    const before = kernel.listing();
    const theirs = (): readonly string[] => kernel.listing().filter((line) => before.includes(line));
    const life = start(kernel);
    await life.sync(everyKind('IPv4'));
    expect(theirs()).toEqual(before);
    await life.sync(everyKind('IPv4').map((one) => ({ ...one, cluster: [], local: [] })));
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    expect(theirs()).toEqual(before);
    await start(kernel).sync([]);
    expect(theirs()).toEqual(before);
    await removeAll(kernel.backend('IPv4'), signal);
    expect(kernel.listing()).toEqual(before);
  });

  it('at an address of ours goes, unless its network is excluded', async () => {
    const excluded = ['10.96.0.0/24'].flatMap((text) => parseCIDR(text) ?? []);
    for (const isExcluded of [false, true]) {
      const kernel = newKernel();
      const settings = { ...SETTINGS, excluded: isExcluded ? excluded : [] };
      await start(kernel, 'IPv4', settings).sync(GOOD);
      const stray = { protocol: 'TCP', address: '10.96.0.1', port: 9_999 } as const;
      kernel.open().handles.ipvs.execute([newService(stray, PLAIN)]);
      const life = start(kernel, 'IPv4', settings);
      await life.sync(GOOD);
      expect(kernel.ipvs.has('-t 10.96.0.1:9999')).toBe(isExcluded);
    }
  });

  it('is told from ours in excluded networks too: those are no drift, change, and go', async () => {
    const excluded = ['10.96.0.0/24', '10.250.0.0/24'].flatMap((text) => parseCIDR(text) ?? []);
    const settings = { ...SETTINGS, excluded };
    const kernel = newKernel();
    const life = start(kernel, 'IPv4', settings);
    const web = tcp('a', '10.96.0.1', ['10.200.0.1'], { nodePort: 30_001 });
    await life.sync([web]);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    const again = start(kernel, 'IPv4', settings);
    expect((await again.sync([web])).changes).toEqual({ added: 0, replaced: 0, removed: 0 });
    // while nobody was there the Service lost its endpoint
    await start(kernel, 'IPv4', settings).sync([tcp('a', '10.96.0.1', [], { nodePort: 30_001 })]);
    expect(serves(kernel, '10.96.0.1', '10.200.0.1:8080')).toBe(false);
    await start(kernel, 'IPv4', settings).sync([]);
    expect(kernel.ipvs.has('-t 10.96.0.1:80')).toBe(false);
    expect(kernel.ipvs.has('-t 10.250.0.1:30001')).toBe(false);
  });
});

it('servers found by a mark are ours whatever bit was the masquerade mark before', async () => {
  const kernel = newKernel();
  const web = withLocal(tcp('a', '10.96.0.1', ['10.200.0.1'], { nodePort: 30_001, externalPolicyLocal: true }), []);
  await start(kernel, 'IPv4', SETTINGS, nodeOf('IPv4', { masqueradeMark: 1 })).sync([web]);
  const life = start(kernel, 'IPv4', SETTINGS, nodeOf('IPv4', { masqueradeMark: 0x4000 }));
  await life.sync([web]);
  const fresh = newKernel();
  await start(fresh).sync([web]);
  expect(kernel.listing()).toEqual(fresh.listing());
});
