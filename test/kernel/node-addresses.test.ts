/** What the real kernel tells of the node's addresses; and NodePorts that answer on some of them, with real packets. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GRACE_MS, NodeAddresses } from '../../src/addresses/node-addresses.ts';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { destinationOf, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (isSo: () => boolean, patienceMs = 5_000): Promise<void> => {
  for (const deadline = Date.now() + patienceMs; !isSo(); ) {
    if (Date.now() > deadline) throw new Error('it does not come to be');
    await sleep(20);
  }
};

describeWith(NAMESPACE_NEEDS, 'the addresses of a namespace', () => {
  let namespace: Namespace;
  let node: NodeAddresses;
  let changes = 0;
  const ip = (...args: readonly string[]): string => namespace.run('ip', ...args);
  beforeEach(async () => {
    namespace = createNamespace();
    ip('link', 'set', 'lo', 'up');
    ip('link', 'add', 'up1', 'type', 'veth', 'peer', 'name', 'far1');
    ip('address', 'add', '10.77.0.1/24', 'dev', 'up1');
    for (const link of ['up1', 'far1']) ip('link', 'set', link, 'up');
    changes = 0;
    const onChange = (): void => {
      changes += 1;
    };
    node = await namespace.enter(() => NodeAddresses.open({ log: { warn: () => undefined }, onChange }));
  });
  afterEach(async () => {
    await node.close();
    namespace.remove();
  });

  it('are as ip(8) lists them, with and without a carrier', async () => {
    const listed = (): readonly string[] =>
      [...ip('-o', 'address').matchAll(/inet6? ([^/\s]+)/g)].map(([, address]) => address ?? '').sort();
    await until(() => listed().join() === node.addresses.join());
    expect(node.addresses).toEqual(expect.arrayContaining(['10.77.0.1', '127.0.0.1', '::1']));
    changes = 0;
    ip('link', 'set', 'far1', 'down');
    expect(ip('link', 'show', 'up1')).toContain('NO-CARRIER');
    await sleep(300);
    expect(node.addresses).toContain('10.77.0.1');
    ip('link', 'set', 'far1', 'up');
    ip('address', 'add', 'fd77::5/64', 'dev', 'up1', 'nodad');
    await until(() => node.addresses.includes('fd77::5'), 1_000);
    expect(node.addresses).toContain('10.77.0.1');
  });

  it('that are taken away and given back within seconds never went', async () => {
    ip('address', 'delete', '10.77.0.1/24', 'dev', 'up1');
    await sleep(500);
    expect(node.addresses).toContain('10.77.0.1');
    ip('address', 'add', '10.77.0.1/24', 'dev', 'up1');
    ip('link', 'delete', 'up1');
    await sleep(500);
    expect(node.addresses).toContain('10.77.0.1');
    await until(() => !node.addresses.includes('10.77.0.1'), GRACE_MS + 2_000);
  }, 20_000);

  it('are not those of mode ipvs: ten thousand of them cost no list and no look at the node', async () => {
    await sleep(2_000); // duplicate addresses are looked for until then
    const before = [changes, node.lists];
    const { addresses } = node;
    // a dummy is missing in some kernels, and what counts is its name
    ip('link', 'add', 'kube-ipvs0', 'type', 'veth', 'peer', 'name', 'far0');
    const each = (verb: string): string =>
      Array.from({ length: 10_000 }, (_, i) => `address ${verb} 10.96.${i >> 8}.${i & 255}/32 dev kube-ipvs0\n`).join(
        '',
      );
    namespace.runOn(each('add'), 'ip', '-batch');
    await sleep(500);
    namespace.runOn(each('delete'), 'ip', '-batch');
    ip('address', 'add', '10.77.0.2/24', 'dev', 'up1');
    await until(() => node.addresses.includes('10.77.0.2'));
    expect(node.addresses).toEqual([...addresses, '10.77.0.2'].sort());
    expect([changes, node.lists]).toEqual([(before[0] ?? 0) + 1, before[1]]);
  }, 60_000);
});

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '--nodeport-addresses=10.250.0.0/24,10.77.0.0/24'];
const MODES = [
  { mode: 'iptables-nft', flags: ['--iptables-tool=nft'] },
  { mode: 'iptables-legacy', flags: ['--iptables-tool=legacy'] },
  { mode: 'nftables', flags: ['--proxy-mode=nftables'] },
] as const;

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'NodePorts by CIDR', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench?.remove());

  const ip = (...args: readonly string[]) => bench.lab.run('node1', 'ip', args);
  const { port } = destinationOf('node-port', v4(1));
  const at = (host: string) => ({ protocol: 'tcp' as const, host, port });

  describe.each(MODES)('$mode', ({ flags }) => {
    let proxy: NodeProxy | undefined;
    beforeAll(async () => {
      await ip('link', 'add', 'up1', 'type', 'veth', 'peer', 'name', 'far1');
      await ip('address', 'add', '10.77.0.1/24', 'dev', 'up1');
      for (const link of ['up1', 'far1']) await ip('link', 'set', link, 'up');
      await bench.cluster.put(objectsOf('by-cidr', { nodePort: true, endpoints: [{ on: 'pod1' }] }, v4(1)));
      proxy = bench.cluster.startProxy('node1', [...FLAGS, ...flags]);
      await untilAnswered(bench.lab, 'pod3', at('10.77.0.1'));
    });
    afterAll(async () => {
      await proxy?.stop();
      await ip('link', 'delete', 'up1');
      const main = new URL('../../dist/main.js', import.meta.url).pathname;
      await bench.lab.run('node1', process.execPath, [main, 'cleanup', ...flags]);
    });

    const calls = async (host: string): Promise<readonly string[]> => {
      const agent = await bench.lab.agent('pod3');
      return (await agent.probe({ ...at(host), tries: 5, timeoutMs: 1_000 })).map(({ kind }) => kind);
    };

    it('answer on an address whose link has lost its carrier, and when it is back, whatever changes meanwhile', async () => {
      await ip('link', 'set', 'far1', 'down');
      await bench.cluster.put(objectsOf('meanwhile', { endpoints: [{ on: 'pod1' }] }, v4(2)));
      await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', ...destinationOf('cluster', v4(2)) });
      expect(new Set(await calls('10.77.0.1'))).toEqual(new Set(['answer']));
      await ip('link', 'set', 'far1', 'up');
      expect(new Set(await calls('10.77.0.1'))).toEqual(new Set(['answer']));
    });

    it('answer on a new address within a second or so, long before the end of the sync period', async () => {
      await ip('address', 'add', '10.77.0.2/24', 'dev', 'up1');
      await untilAnswered(bench.lab, 'pod3', at('10.77.0.2'), 2_000);
    });

    it('answer on an address that went and came back', async () => {
      await ip('address', 'flush', 'dev', 'up1');
      await bench.cluster.put(objectsOf('also', { endpoints: [{ on: 'pod1' }] }, v4(3)));
      await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', ...destinationOf('cluster', v4(3)) });
      await ip('address', 'add', '10.77.0.1/24', 'dev', 'up1');
      expect(new Set(await calls('10.77.0.1'))).toEqual(new Set(['answer']));
    });
  });
});
