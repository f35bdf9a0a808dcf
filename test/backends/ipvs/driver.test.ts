/** The driver over a kernel in memory: what it writes is there, what it reads is that, and what it is refused it says. */
import { describe, expect, it } from 'vitest';
import { ipvsBackend } from '../../../src/backends/ipvs/index.ts';
import { setDefinition } from '../../../src/backends/ipvs/names.ts';
import {
  address,
  type DesiredIpvsObject,
  device,
  entry,
  realServer,
  virtualServer,
} from '../../../src/backends/ipvs/objects.ts';
import { sysctl } from '../../../src/backends/xtables/sysctl.ts';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import { type Change, KernelError } from '../../../src/dataplane/contract.ts';
import { diff } from '../../../src/dataplane/desired.ts';
import { deleteService, type Ipvs, MASQUERADE, newService, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import type { ServiceKey } from '../../../src/ipvs-netlink/types.ts';
import { createSet } from '../../../src/netlink/ipset.ts';
import { type MemoryKernel, SETTINGS } from './memory-kernel.ts';
import { everyKind, FAMILIES, newKernel, nodeOf, start, tcp } from './world.ts';

const { signal } = new AbortController();
const WEB: ServiceKey = { protocol: 'TCP', address: '10.96.0.1', port: 80 };
const OTHER: ServiceKey = { protocol: 'TCP', address: '192.0.2.1', port: 80 };
const POD = { address: '10.200.0.1', port: 8080 };

const add = (object: DesiredIpvsObject): Change<DesiredIpvsObject> => ({ op: 'add', object });
const remove = (object: DesiredIpvsObject): Change<DesiredIpvsObject> => ({ op: 'remove', object });

/** Applies the changes; gives the error of the batch that was refused, as the engine would see it. */
const apply = async (
  kernel: MemoryKernel,
  changes: readonly Change<DesiredIpvsObject>[],
  backend = kernel.backend('IPv4'),
): Promise<KernelError | undefined> => {
  for (const batch of backend.plan(changes)) {
    try {
      if (batch !== undefined) await backend.apply(batch, signal);
    } catch (error) {
      if (error instanceof KernelError) return error;
      throw error;
    }
  }
  return undefined;
};

describe.each(FAMILIES)('%s: Services of every kind', (family) => {
  it('are read back as they are wanted, and a restart writes nothing', async () => {
    const kernel = newKernel();
    const life = start(kernel, family);
    await life.sync(everyKind(family));
    const { want } = life.reconciler;
    expect(want.size).toBeGreaterThan(200);
    expect(diff(await kernel.backend(family).read(signal), want)).toEqual([]);
    expect(life.refused).toEqual([]);

    const before = kernel.listing();
    const rulesWritten = kernel.rulesWritten;
    const again = start(kernel, family);
    const report = await again.sync(everyKind(family));
    expect(report).toMatchObject({ full: true, changes: { added: 0, replaced: 0, removed: 0 }, batches: 0 });
    expect(await again.reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
    expect(kernel.listing()).toEqual(before);
    expect(kernel.rulesWritten).toBe(rulesWritten);
  });

  it.each([1, 2, 50])(
    'are read whole beside writes of ours, by ends of its own (%i lists of servers torn)',
    async (torn) => {
      const kernel = newKernel();
      await start(kernel, family).sync(everyKind(family));
      const { handles, ...rest } = kernel.open();
      let lists = 0;
      // a list of many parts, at the front of which something goes while it is read: what stood behind is passed over
      const open = (): Ipvs => {
        const reader = handles.open.ipvs();
        const visit = reader.visitServices.bind(reader);
        reader.visitServices = async (take) => {
          lists += 1;
          if (lists > torn) return visit(take);
          handles.ipvs.execute([newService(OTHER, PLAIN), deleteService(OTHER)]);
        };
        return reader;
      };
      const slow = { ...rest, handles: { ...handles, open: { ...handles.open, ipvs: open } } };
      const backend = ipvsBackend({ family, settings: SETTINGS, kernel: slow });
      expect(diff(await backend.read(signal), await kernel.backend(family).read(signal))).toEqual([]);
      expect(lists).toBeLessThanOrEqual(3);
    },
  );

  it('leave nothing behind but the link, which the other family needs, when all of ours is removed', async () => {
    const kernel = newKernel();
    const bare = kernel.listing();
    const other = family === 'IPv4' ? 'IPv6' : 'IPv4';
    await start(kernel, other).sync(everyKind(other));
    const before = kernel.listing();
    await start(kernel, family).sync(everyKind(family));
    const { left, removed } = await removeAll(kernel.backend(family), signal);
    expect(left.map(({ id }) => id)).toEqual(['link kube-ipvs0']);
    expect(removed.length).toBeGreaterThan(200);
    expect(kernel.listing()).toEqual(before);
    expect((await removeAll(kernel.backend(other), signal)).left).toEqual([]);
    expect(kernel.links.has('kube-ipvs0')).toBe(false);
    expect(kernel.listing()).toEqual(bare);
  });
});

describe('time-outs', () => {
  const timeouts = { tcp: 700, tcpFin: 0, udp: 0 };
  it('are set where they are configured, and otherwise not looked at', async () => {
    const kernel = newKernel();
    await start(kernel, 'IPv4', { ...SETTINGS, timeouts }).sync([]);
    expect(kernel.ipvs.timeouts).toEqual({ tcp: 700, tcpFin: 120, udp: 300 });
    kernel.ipvs.timeouts = { tcp: 700, tcpFin: 60, udp: 10 };
    const report = await start(kernel, 'IPv4', { ...SETTINGS, timeouts }).sync([]);
    expect(report.changes).toEqual({ added: 0, replaced: 0, removed: 0 });
    kernel.ipvs.timeouts = { ...kernel.ipvs.timeouts, tcp: 900 };
    await start(kernel, 'IPv4', { ...SETTINGS, timeouts }).sync([]);
    expect(kernel.ipvs.timeouts).toEqual({ tcp: 700, tcpFin: 60, udp: 10 });
  });

  it('and settings stay when the program leaves', async () => {
    const kernel = newKernel();
    await start(kernel, 'IPv4', { ...SETTINGS, timeouts, strictARP: true }).sync([]);
    await removeAll(kernel.backend('IPv4', { ...SETTINGS, timeouts, strictARP: true }), signal);
    expect(kernel.ipvs.timeouts.tcp).toBe(700);
    expect(Object.fromEntries(kernel.sysctls)).toMatchObject({
      'net/ipv4/vs/conntrack': '1',
      'net/ipv4/ip_forward': '1',
      'net/ipv4/conf/all/arp_ignore': '1',
      'net/ipv4/conf/all/arp_announce': '2',
    });
  });
});

describe('what is otherwise than believed', () => {
  it('is made so: what exists already is changed, what is gone already is fine', async () => {
    const kernel = newKernel();
    const ips = setDefinition('IPVS-IPS', 'IPv4');
    await start(kernel).sync([]);
    const objects = [
      virtualServer(WEB, PLAIN),
      realServer(WEB, POD, MASQUERADE),
      address('10.96.0.1'),
      device,
      entry(ips, { address: '10.96.0.1' }),
    ];
    expect(await apply(kernel, objects.map(add))).toBeUndefined();
    const changed = [
      virtualServer(WEB, { ...PLAIN, scheduler: 'lc' }),
      realServer(WEB, POD, { ...MASQUERADE, weight: 5 }),
    ];
    expect(await apply(kernel, [...objects.slice(2), ...changed].map(add))).toBeUndefined();
    const found = await kernel.backend('IPv4').read(signal);
    for (const object of changed) expect(found.get(object.id)?.content).toBe(object.content);

    const gone = objects.filter(({ kind }) => kind !== 'device').map(remove);
    expect(await apply(kernel, gone)).toBeUndefined();
    expect(await apply(kernel, gone)).toBeUndefined();
    expect(await apply(kernel, [remove(device)])).toBeUndefined();
    expect(await apply(kernel, [...gone, remove(device)])).toBeUndefined();
    expect(
      await apply(kernel, [remove(entry({ ...ips, name: 'KUBE-GONE' }, { address: '10.96.0.1' }))]),
    ).toBeUndefined();
    expect(kernel.ipvs.has('-t 10.96.0.1:80')).toBe(false);
    expect(kernel.links.has('kube-ipvs0')).toBe(false);
  });

  it('is told by the name of what is missing, where it cannot be made so', async () => {
    const kernel = newKernel();
    const server = realServer(WEB, POD, MASQUERADE);
    const lost = entry({ ...setDefinition('IPVS-IPS', 'IPv4'), name: 'KUBE-GONE' }, { address: '10.96.0.1' });
    expect(await apply(kernel, [add(server)])).toMatchObject({
      scope: 'content',
      suspects: [server.id],
      message: '-a -t 10.96.0.1:80 -r 10.200.0.1:8080 -m -w 1: ESRCH',
    });
    expect(await apply(kernel, [add(lost)])).toMatchObject({
      suspects: [lost.id],
      message: expect.stringContaining('ENOENT'),
    });
    expect(await apply(kernel, [add(address('10.96.0.1'))])).toMatchObject({
      suspects: ['address 10.96.0.1'],
      message: expect.stringContaining('link kube-ipvs0 is gone'),
    });
  });

  it('as a set of our name and another shape, is made anew; as one of another type, it is told by its name', async () => {
    const kernel = newKernel();
    const definition = { ...setDefinition('EXTERNAL-POLICY-MARK', 'IPv4'), hasMarks: false };
    kernel.open().handles.sets.run(createSet(definition, 0));
    await start(kernel).sync([]);
    const fresh = newKernel();
    await start(fresh).sync([]);
    expect(kernel.listing()).toEqual(fresh.listing());
    const other = newKernel();
    other.open().handles.sets.run(createSet({ ...definition, type: 'hash:ip' }, 0));
    await expect(start(other).sync([])).rejects.toThrow('create KUBE-EXTERNAL-POLICY-MARK hash:ip,port');
  });

  it('as a set that rules of others look into, stays, and everything else goes', async () => {
    const kernel = newKernel();
    await start(kernel).sync([tcp('web', '10.96.0.1', ['10.200.0.1'])]);
    kernel.iptables.IPv4.restore('*nat\n-A THEIRS -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN\nCOMMIT\n');
    const { left } = await removeAll(kernel.backend('IPv4'), signal);
    expect(left.map(({ id }) => id)).toEqual(['set KUBE-CLUSTER-IP']);
  });
});

describe('a partial refusal', () => {
  it('names those that were refused, the first few in full, and the others are done', async () => {
    const kernel = newKernel();
    kernel.ipvs.schedulers.delete('lc');
    const keys = Array.from({ length: 9 }, (_, i) => ({ ...WEB, port: 80 + i }));
    const isOdd = (key: ServiceKey): boolean => 'port' in key && key.port % 2 === 1;
    const servers = keys.map((key) => virtualServer(key, { ...PLAIN, scheduler: isOdd(key) ? 'lc' : 'rr' }));
    const error = await apply(kernel, servers.map(add));
    expect(error?.scope).toBe('content');
    expect(error?.suspects).toEqual(servers.filter(({ key }) => isOdd(key)).map(({ id }) => id));
    expect(error?.message).toBe(
      '-A -t 10.96.0.1:81 -s lc: ENOENT; -A -t 10.96.0.1:83 -s lc: ENOENT; -A -t 10.96.0.1:85 -s lc: ENOENT; and 1 more',
    );
    for (const { id, key } of servers) expect(kernel.ipvs.has(id.replace('service ', ''))).toBe(!isOdd(key));
  });

  it('of a change leaves the object as it was', async () => {
    const kernel = newKernel();
    await apply(kernel, [add(virtualServer(WEB, PLAIN))]);
    const change = virtualServer(WEB, { ...PLAIN, scheduler: 'none-such' });
    expect(await apply(kernel, [{ op: 'replace', object: change, previous: virtualServer(WEB, PLAIN) }])).toMatchObject(
      {
        suspects: [change.id],
      },
    );
    expect(kernel.listing().filter((line) => line.startsWith('-A -t'))).toEqual([
      expect.stringContaining('"scheduler":"rr"'),
    ]);
  });
});

describe('lost answers', () => {
  it.each(['ipvs', 'sets', 'links'] as const)('of %s are nobody’s fault', async (end) => {
    const kernel = newKernel();
    await start(kernel).sync([]);
    const objects = [
      device,
      address('10.96.0.1'),
      entry(setDefinition('IPVS-IPS', 'IPv4'), { address: '10.96.0.1' }),
      virtualServer(WEB, PLAIN),
    ];
    const backend = kernel.backend('IPv4');
    kernel.sockets[end].losesAnswers = true;
    expect(await apply(kernel, objects.map(add), backend)).toMatchObject({ scope: 'environment', suspects: [] });
    kernel.sockets[end].losesAnswers = true;
    await expect(backend.read(signal)).rejects.toMatchObject({ scope: 'environment' });
  });
});

it('a setting that cannot be written is nobody’s fault', async () => {
  const kernel = newKernel();
  kernel.sysctls.set = () => {
    throw new Error('EROFS: read-only file system');
  };
  expect(await apply(kernel, [add(sysctl('net/ipv4/vs/conntrack', 1))])).toMatchObject({ scope: 'environment' });
});

it('a backend that was made for a dump has no kernel', async () => {
  const { ipvsBackend } = await import('../../../src/backends/ipvs/index.ts');
  const backend = ipvsBackend({ family: 'IPv4', settings: SETTINGS });
  await expect(backend.read(signal)).rejects.toThrow('made for a dump');
  const batch = [...backend.plan([add(device)])].find((one) => one !== undefined);
  expect(batch).toBeDefined();
  if (batch !== undefined) await expect(backend.apply(batch, signal)).rejects.toThrow('made for a dump');
  expect(backend.compile(tcp('web', '10.96.0.1', []), nodeOf('IPv4')).objects.length).toBeGreaterThan(2);
});
