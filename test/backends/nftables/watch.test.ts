/** What others write is heard of, and a table that is written to while it is read is read again. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { KernelSockets } from '../../../src/backends/nftables/kernel-sockets.ts';
import { TABLE } from '../../../src/backends/nftables/names.ts';
import { ERRNO, NetlinkError } from '../../../src/netlink/error.ts';
import { concat } from '../../../src/nftables-json/construct.ts';
import { tcp } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, FRONTEND, KEY, pod, remove, STICKY, WEB } from './vandal.ts';
import {
  comparable,
  elementsIn,
  freshListing,
  type Life,
  listingOf,
  NO_DRIFT,
  NOTHING_CHANGED,
  start,
} from './world.ts';

describe('a change by somebody else', () => {
  const listen = (life: Life): { readonly heard: () => Promise<boolean>; readonly stop: () => void } => {
    let count = 0;
    const watch = life.backend.watch?.(() => {
      count += 1;
    });
    const heard = async (): Promise<boolean> => {
      count = 0;
      await new Promise((resolve) => setTimeout(resolve, 250));
      return count > 0;
    };
    return { heard, stop: () => watch?.stop() };
  };

  it('is heard of, our own changes are not, nor those to the other family and to other tables', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([WEB]);
    const { heard, stop } = listen(life);
    await life.sync([STICKY]);
    expect(await heard()).toBe(false);
    kernel.run([{ add: { table: { family: 'ip', name: 'theirs' } } }]);
    kernel.run([{ add: { table: { family: 'ip6', name: TABLE } } }]);
    expect(await heard()).toBe(false);
    kernel.run([add('cluster-ips', '10.96.7.7')]);
    expect(await heard()).toBe(true);
    expect(await heard()).toBe(false);
    stop();
    kernel.run([add('cluster-ips', '10.96.7.8')]);
    expect(await heard()).toBe(false);
  });

  it('while the table is read makes it be read again', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([WEB]);
    const life = start(kernel);
    let lists = 0;
    kernel.onList = () => {
      lists += 1;
      if (lists === 3) kernel.run([add('cluster-ips', '10.96.7.7')]);
    };
    expect((await life.sync([WEB])).changes).toEqual({ ...NOTHING_CHANGED, removed: 1 });
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([WEB]));
  });

  it('that never ends is taken as it comes, and looked at again', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([WEB]);
    const life = start(kernel);
    let lists = 0;
    kernel.onList = () => {
      lists += 1;
      kernel.run([add('cluster-ips', `10.96.7.${lists % 250}`)]);
    };
    await life.sync([WEB]);
    kernel.onList = () => undefined;
    const { heard, stop } = listen(life);
    expect(await heard()).toBe(true);
    stop();
    await life.reconciler.audit();
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([WEB]));
  });
});

describe('a watch whose socket breaks', () => {
  afterEach(() => void vi.useRealTimers());

  class Breaking extends MemoryNft {
    isBroken = false;
    readonly said: string[] = [];
    opened = 0;

    override sockets(): KernelSockets {
      const sockets = super.sockets();
      const openWatch: KernelSockets['openWatch'] = (family) => {
        if (this.isBroken) throw new NetlinkError(ERRNO.ENOMEM, 'socket');
        this.opened += 1;
        const watch = sockets.openWatch(family);
        const hasChanged = (): boolean => {
          if (this.isBroken) throw new NetlinkError(ERRNO.EBADF, 'recv');
          return watch.hasChanged();
        };
        return { ...watch, hasChanged };
      };
      return { ...sockets, openWatch, warn: (message) => this.said.push(message) };
    }
  }

  it('is opened again with a back-off, said once, and what was missed is looked for', async () => {
    const kernel = new Breaking();
    const life = start(kernel);
    await life.sync([WEB]);
    let heard = 0;
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const watch = life.backend.watch?.(() => {
      heard += 1;
    });
    kernel.isBroken = true;
    vi.advanceTimersByTime(2_000);
    kernel.run([remove('service-ips', KEY)]);
    vi.advanceTimersByTime(20_000);
    expect(heard).toBe(0);
    expect(kernel.said).toEqual([expect.stringMatching(/not heard just now.*EBADF/)]);
    // a look while nothing is heard is a look all the same
    expect((await life.reconciler.audit()).changed).toEqual([FRONTEND]);
    kernel.isBroken = false;
    vi.advanceTimersByTime(60_000);
    expect(heard).toBe(1);
    expect(kernel.opened).toBe(2);
    kernel.run([remove('service-ips', KEY)]);
    vi.advanceTimersByTime(100);
    expect(heard).toBe(2);
    expect((await life.reconciler.audit()).changed).toEqual([FRONTEND]);
    watch?.stop();
  });
});

describe('who is remembered', () => {
  it('with an endpoint that is nobody’s, put there by others, is forgotten', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([STICKY]);
    const client = (n: number) => ({ elem: { val: concat(`192.0.2.${n}`, '10.96.0.3', 'tcp', 80), timeout: 60 } });
    kernel.run([add('affinity', [client(1), pod(3)], [client(2), pod(99)])]);
    await life.reconciler.audit();
    await life.backend.settled();
    const remembered = await elementsIn(kernel, ['affinity']);
    expect(remembered).toEqual([expect.stringContaining('192.0.2.1 ')]);
  });
});

describe('a list that is not whole', () => {
  it.each([1, 20, 40])(
    'is read again, however many lack something (%i): nothing is taken for missing',
    async (count) => {
      const kernel = new MemoryNft();
      await start(kernel).sync([WEB, STICKY]);
      const written = kernel.transactions.length;
      const life = start(kernel);
      kernel.tornLists = count;
      expect((await life.sync([WEB, STICKY])).changes).toEqual(NOTHING_CHANGED);
      expect(kernel.tornLists).toBe(0);
      kernel.tornLists = count;
      expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
      expect(kernel.transactions.length).toBe(written);
    },
  );

  it.each([1, 4, 1_000])(
    'of the chains of all tables keeps nobody from knowing ours, however often others tear it (%i)',
    async (count) => {
      const kernel = new MemoryNft();
      await start(kernel).sync([WEB, STICKY]);
      const life = start(kernel);
      kernel.tornChains = count;
      expect((await life.sync([WEB, STICKY])).changes).toEqual(NOTHING_CHANGED);
      expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    },
  );

  it('time after time is taken as it is, and the table is as wanted in the end', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([WEB, STICKY]);
    const life = start(kernel);
    kernel.tornLists = 150;
    await life.sync([WEB, STICKY]);
    kernel.tornLists = 0;
    await life.reconciler.audit();
    expect(life.refused).toEqual([]);
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([WEB, STICKY]));
  });
});

describe('what is written while an audit reads', () => {
  const many = Array.from({ length: 60 }, (_, n) =>
    tcp(`s${n}`, `10.96.1.${n}`, ['10.200.0.1', '10.200.0.2', '10.200.0.3']),
  );
  const changed = many
    .slice(0, 30)
    .map(({ port }, n) => tcp(port.name.name, port.clusterIP, ['10.200.0.2', `10.200.1.${n}`]));
  const last = many.map(({ port }) => tcp(port.name.name, port.clusterIP, ['10.200.0.3', '10.200.0.9']));

  it.each(Array.from({ length: 16 }, (_, n) => n + 1))(
    'is not taken for drift, and what is held is known after it: at list %i',
    async (nth) => {
      const kernel = new MemoryNft();
      const life = start(kernel);
      await life.sync(many);
      let lists = 0;
      let writing: Promise<unknown> = Promise.resolve();
      kernel.onList = () => {
        lists += 1;
        if (lists === nth) writing = life.sync(changed, ['ns/s59:p/TCP']);
      };
      expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
      await writing;
      expect(lists).toBeGreaterThanOrEqual(nth);
      kernel.onList = () => undefined;
      expect(comparable(await listingOf(kernel))).toEqual(await freshListing([...changed, ...many.slice(30, 59)]));
      await life.sync(last);
      expect(life.refused).toEqual([]);
      expect(comparable(await listingOf(kernel))).toEqual(await freshListing(last));
    },
  );
});
