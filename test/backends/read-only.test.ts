/** Backends that only look: what the others do on the way of a read is left undone. */
import { describe, expect, it } from 'vitest';
import { ipvsBackend } from '../../src/backends/ipvs/index.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { AFFINITY } from '../../src/backends/nftables/names.ts';
import { concat } from '../../src/nftables-json/construct.ts';
import { SETTINGS } from './ipvs/memory-kernel.ts';
import { newKernel, start as startIpvs, tcp } from './ipvs/world.ts';
import { MemoryNft } from './nftables/memory-nft.ts';
import { start as startNft } from './nftables/world.ts';

const { signal } = new AbortController();

describe('a look at nf_tables', () => {
  it.each([
    ['only looks', true, 0],
    ['does more', false, 1],
  ])('that %s writes %3$i times', async (_, readOnly, writes) => {
    const kernel = new MemoryNft();
    await startNft(kernel).sync([tcp('web', '10.96.0.1', ['10.200.0.1'], { affinitySeconds: 60 })]);
    // a client of a Service that is no more
    const entry = { val: concat('192.0.2.1', '10.96.0.9', 'tcp', 80), timeout: 60, expires: 30 };
    kernel.run([
      {
        add: {
          element: {
            family: 'ip',
            table: 'kube-proxy',
            name: AFFINITY,
            elem: [[{ elem: entry }, concat('10.200.0.9', 8080)]],
          },
        },
      },
    ]);
    const before = kernel.transactions.length;
    const backend = nftablesBackend({ family: 'IPv4', sockets: kernel.sockets(), readOnly });
    backend.check?.();
    await backend.read(signal);
    await backend.read(signal);
    expect(kernel.transactions).toHaveLength(before + writes);
  });
});

describe('a look at IPVS', () => {
  it.each([
    ['only looks', true],
    ['does more', false],
  ])('that %s leaves who is done draining: %s', async (_, readOnly) => {
    const kernel = newKernel();
    const life = startIpvs(kernel);
    const leaving = ['-t 10.96.0.1:80', '10.200.0.1:8080'] as const;
    await life.sync([tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2'])]);
    kernel.ipvs.destination(...leaving).connections = 3;
    await life.sync([tcp('web', '10.96.0.1', ['10.200.0.2'])]);
    const backend = ipvsBackend({ family: 'IPv4', settings: SETTINGS, kernel: { ...kernel.open(), readOnly } });
    const found = async () =>
      [...(await backend.read(signal)).values()].filter(({ id }) => id.includes('10.200.0.1')).map((one) => one.leaves);
    const listed = readOnly ? [true] : [];
    expect(await found(), 'while it drains it counts as gone').toEqual(listed);
    kernel.ipvs.destination(...leaving).connections = 0;
    expect(await found(), 'when it has drained').toEqual(listed);
    expect(kernel.ipvs.has(...leaving)).toBe(readOnly);
  });
});
