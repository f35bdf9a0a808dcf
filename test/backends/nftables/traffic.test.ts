/** Counting traffic: what the kernel is asked to count, what is read of it, and what leaves it alone. */
import { describe, expect, it } from 'vitest';
import { COUNTERS, counterDeclarations } from '../../../src/backends/nftables/counters.ts';
import { nftablesBackend } from '../../../src/backends/nftables/index.ts';
import { KEY_SPACES } from '../../../src/backends/nftables/names.ts';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import { concat } from '../../../src/nftables-json/construct.ts';
import type { SetDeclaration } from '../../../src/nftables-json/schema.ts';
import { nodeOf, tcp } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, remove } from './vandal.ts';
import { comparable, listingOf, NO_DRIFT, NOTHING_CHANGED, start } from './world.ts';

const { signal } = new AbortController();
const NODE = nodeOf('IPv4');
const WEB = tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2'], { nodePort: 30_080 });
const VIP = '10.96.0.1 . tcp . 80';
const PORT = 'tcp . 30080';
const NAMES = KEY_SPACES.flatMap((space) => Object.values(COUNTERS[space]));

const counting = (kernel: MemoryNft) => start(kernel, 'IPv4', NODE, true);
const setOf = (name: string): SetDeclaration => {
  const found = counterDeclarations('ip').find((set) => set.name === name);
  if (found === undefined) throw new Error(`no set ${name}`);
  return found;
};

describe('traffic', () => {
  it('is read by frontend: connections, and packets and bytes of both directions', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync } = counting(kernel);
    await sync([WEB]);
    kernel.count(setOf('traffic-connections'), VIP, 2, 120);
    kernel.count(setOf('traffic-in'), VIP, 20, 2_000);
    kernel.count(setOf('traffic-out'), VIP, 10, 30_000);
    kernel.count(setOf('nodeport-traffic-in'), PORT, 5, 500);
    const traffic = await reconciler.traffic();
    expect(traffic?.isWhole).toBe(true);
    expect(Object.fromEntries(traffic?.counts ?? [])).toEqual({
      [`frontend ${VIP}`]: { connections: 2, packetsIn: 20, bytesIn: 2_000, packetsOut: 10, bytesOut: 30_000 },
      [`frontend ${PORT}`]: { connections: 0, packetsIn: 5, bytesIn: 500, packetsOut: 0, bytesOut: 0 },
    });
    for (const id of traffic?.counts.keys() ?? []) expect(reconciler.ownerOf(id)).toBe('ns/web:p/TCP');
  });

  it('survives every change of endpoints, and a restart', async () => {
    const kernel = new MemoryNft();
    const first = counting(kernel);
    await first.sync([WEB]);
    kernel.count(setOf('traffic-in'), VIP, 20, 2_000);
    for (const endpoints of [['10.200.0.3'], [], ['10.200.0.1', '10.200.0.4', '10.200.0.5']]) {
      await first.sync([tcp('web', '10.96.0.1', endpoints, { nodePort: 30_080 })]);
    }
    await first.sync([WEB]);
    const { reconciler, sync } = counting(kernel);
    const { changes } = await sync([WEB]);
    expect(changes).toEqual(NOTHING_CHANGED);
    expect(await reconciler.audit()).toEqual(NO_DRIFT);
    expect((await reconciler.traffic())?.counts.get(`frontend ${VIP}`)).toMatchObject({ packetsIn: 20 });
  });

  it('is a list of six sets, and of nothing else', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync } = counting(kernel);
    await sync([WEB]);
    let lists = 0;
    kernel.onList = () => {
      lists += 1;
    };
    await reconciler.traffic();
    expect(lists).toBe(NAMES.length);
  });

  it('of a list that is not whole is told as such, with what there is', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync } = counting(kernel);
    await sync([WEB]);
    kernel.tornLists = 1;
    const traffic = await reconciler.traffic();
    expect(traffic?.isWhole).toBe(false);
    expect(traffic?.counts.get(`frontend ${VIP}`)).toMatchObject({ packetsIn: 0 });
    expect((await reconciler.traffic())?.isWhole).toBe(true);
  });

  it('cannot be read where the sets are gone', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync } = counting(kernel);
    await sync([WEB]);
    kernel.run([{ delete: { table: { family: 'ip', name: 'kube-proxy' } } }]);
    await expect(reconciler.traffic()).rejects.toMatchObject({ scope: 'environment' });
  });

  it('is not counted unless that is asked for', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync, backend } = start(kernel);
    await sync([WEB]);
    expect(await reconciler.traffic()).toBeUndefined();
    expect(backend.traffic).toBeUndefined();
    expect((await listingOf(kernel)).filter((line) => /traffic|count-/.test(line))).toEqual([]);
    const offline = nftablesBackend({ family: 'IPv4' });
    const text = offline.print([{ title: 'all', objects: offline.base(NODE).objects }])[0]?.text ?? '';
    expect(text).not.toContain('counter');
  });
});

describe('what counts', () => {
  it('goes when it is no longer asked for, comes back when it is, and nothing else changes', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([WEB]);
    const plain = comparable(await listingOf(kernel));
    await counting(kernel).sync([WEB]);
    const counted = comparable(await listingOf(kernel));
    expect(counted.filter((line) => !plain.includes(line)).length).toBe(counted.length - plain.length);
    expect(counted.length - plain.length).toBe(NAMES.length + 8 + 12 + NAMES.length);
    await start(kernel).sync([WEB]);
    expect(comparable(await listingOf(kernel))).toEqual(plain);
  });

  it('is repaired when others change it, and goes with a clean-up', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync, backend } = counting(kernel);
    await sync([WEB]);
    const before = await listingOf(kernel);
    kernel.run(
      [remove('traffic-in', concat('10.96.0.1', 'tcp', 80)), add('traffic-out', concat('10.96.0.9', 'tcp', 80))],
      counterDeclarations('ip'),
    );
    const { changed, foreign } = await reconciler.audit();
    expect([changed, foreign]).toEqual([[`frontend ${VIP}`], ['frontend 10.96.0.9 . tcp . 80']]);
    expect(await listingOf(kernel)).toEqual(before);
    await removeAll(backend, signal);
    expect(await listingOf(kernel)).toEqual([]);
  });

  it('begins anew under the name of another service port, and not when anything else changes', async () => {
    const kernel = new MemoryNft();
    const { reconciler, sync } = counting(kernel);
    await sync([WEB]);
    kernel.count(setOf('traffic-in'), VIP, 20, 2_000);
    const packets = async () => (await reconciler.traffic())?.counts.get(`frontend ${VIP}`)?.packetsIn;
    await sync([tcp('web', '10.96.0.1', ['10.200.0.1'], { affinitySeconds: 60, internalPolicyLocal: true })]);
    expect(await packets()).toBe(20);
    const renamed = { ...WEB, port: { ...WEB.port, name: { ...WEB.port.name, port: 'q' } } };
    await sync([renamed], ['ns/web:p/TCP']);
    expect(await packets()).toBe(0);
  });

  it('costs a change of endpoints no message more', async () => {
    const messages = async (counts: boolean): Promise<readonly unknown[]> => {
      const kernel = new MemoryNft();
      const { sync } = start(kernel, 'IPv4', NODE, counts);
      await sync([WEB]);
      const before = kernel.transactions.length;
      await sync([tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.3'], { nodePort: 30_080 })]);
      return kernel.transactions.slice(before).flatMap((transaction) => transaction.messages);
    };
    expect(await messages(true)).toEqual(await messages(false));
  });

  it('is a number of objects that does not grow with Services, but for elements', async () => {
    const structure = async (services: number): Promise<number> => {
      const kernel = new MemoryNft();
      await counting(kernel).sync(
        Array.from({ length: services }, (_, i) => tcp(`s${i}`, `10.96.1.${i}`, ['10.200.0.1'])),
      );
      return (await listingOf(kernel)).filter((line) => !line.startsWith('element')).length;
    };
    expect(await structure(200)).toBe(await structure(1));
  });
});
