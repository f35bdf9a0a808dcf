/**
 * The golden pages on a real kernel in mode nftables: after each step what is read is what is wanted, also by a program that
 * starts there and then, which has nothing to write.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { type KernelSockets, openKernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import type { NftObject } from '../../src/backends/nftables/objects.ts';
import type { NftPayload } from '../../src/backends/nftables/plan.ts';
import { removeAll } from '../../src/dataplane/cleanup.ts';
import { diff } from '../../src/dataplane/desired.ts';
import { IP_FAMILIES } from '../../src/model/address.ts';
import { type Page, readPages } from '../cases/page.ts';
import { type Backends, Cluster, optionsOf, Program } from '../cases/program.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith } from './requires.ts';

const PAGES = readPages().map((page) => [`${page.name}: ${page.title}`, page] as const);
const { signal } = new AbortController();

describeWith(NAMESPACE_NEEDS, 'a round trip through nf_tables', () => {
  let namespace: Namespace;
  beforeAll(() => {
    namespace = createNamespace();
  });
  afterAll(() => namespace?.remove());

  const open = ({ flags }: Pick<Page, 'flags'>): Backends<NftObject, NftPayload> => {
    const { enter } = namespace;
    const { writer, openReader, openWatch } = enter(openKernelSockets);
    const sockets: KernelSockets = {
      writer,
      openReader: () => enter(openReader),
      openWatch: (family) => enter(() => openWatch(family)),
    };
    const common = { sockets, counts: Number(flags['service-metrics'] ?? 0) > 0 };
    return {
      IPv4: nftablesBackend({ family: 'IPv4', ...common }),
      IPv6: nftablesBackend({ family: 'IPv6', ...common }),
    };
  };

  it.each(PAGES)('%s', async (_, page) => {
    const backends = open(page);
    const cluster = new Cluster();
    const options = await optionsOf({
      'proxy-mode': 'nftables',
      'nodeport-addresses': '0.0.0.0/0,::/0',
      ...page.flags,
    });
    const real = new Program(options, backends, cluster);
    try {
      await real.sync();
      for (const step of page.steps) {
        cluster.change(step);
        real.tell(step);
        await real.sync();
        const later = new Program(options, open(page), cluster);
        for (const family of IP_FAMILIES) {
          const found = await backends[family].read(signal);
          expect(diff(found, real.reconcilers[family].want), `${step.step}: ${family}`).toEqual([]);
          const report = await later.reconcilers[family].sync(later.tracker.take(family));
          expect(report.changes, `a start after ${step.step}: ${family}`).toEqual({
            added: 0,
            replaced: 0,
            removed: 0,
          });
        }
      }
    } finally {
      for (const family of IP_FAMILIES) {
        expect((await removeAll(backends[family], signal)).left).toEqual([]);
        expect((await backends[family].read(signal)).size).toBe(0);
      }
    }
  });
});
