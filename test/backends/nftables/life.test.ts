/** The engine over nf_tables in memory: what it writes is there, what it reads is that. */
import { describe, expect, it } from 'vitest';
import { nftFamily } from '../../../src/backends/nftables/names.ts';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import { diff } from '../../../src/dataplane/desired.ts';
import { everyKind, FAMILIES } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { comparable, listingOf, NO_DRIFT, NOTHING_CHANGED, start } from './world.ts';

const { signal } = new AbortController();

describe.each(FAMILIES)('%s: Services of every kind', (family) => {
  const nft = nftFamily(family);

  it('are read back as they are wanted, and a restart writes nothing', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel, family);
    await life.sync(everyKind(family));
    const { want } = life.reconciler;
    expect(life.refused).toEqual([]);
    expect(want.size).toBeGreaterThan(100);
    expect(diff(await life.backend.read(signal), want)).toEqual([]);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);

    const before = await listingOf(kernel, nft);
    expect(before.length).toBeGreaterThan(200);
    const written = kernel.transactions.length;
    const again = start(kernel, family);
    const report = await again.sync([...everyKind(family)].reverse());
    expect(report).toMatchObject({ full: true, changes: NOTHING_CHANGED, batches: 0 });
    expect(await again.reconciler.audit()).toEqual(NO_DRIFT);
    expect(await listingOf(kernel, nft)).toEqual(before);
    expect(kernel.transactions.length).toBe(written);
  });

  it('leave nothing behind but chains for the next ones, and the table goes with all that is left', async () => {
    const kernel = new MemoryNft();
    const bare = new MemoryNft();
    await start(bare, family).sync([]);
    const life = start(kernel, family);
    await life.sync(everyKind(family));
    await life.sync(
      [],
      life.reconciler.statuses().flatMap(({ owner }) => (owner === 'base' ? [] : [owner])),
    );
    expect(comparable(await listingOf(kernel, nft))).toEqual(await listingOf(bare, nft));
    const { left } = await removeAll(life.backend, signal);
    expect(left).toEqual([]);
    expect(await listingOf(kernel, nft)).toEqual([]);
  });
});
