/** The engine over nf_tables in memory: writes that fail, and a Service that the kernel refuses. */
import { describe, expect, it } from 'vitest';
import { nftFamily } from '../../../src/backends/nftables/names.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { MESSAGE } from '../../../src/nftables-json/messages.ts';
import { everyKind, nodeOf, tcp } from '../ipvs/world.ts';
import { type Fault, MemoryNft } from './memory-nft.ts';
import { comparable, elementsIn, freshListing, listingOf, NO_DRIFT, start } from './world.ts';

const ERESTART = 85;
const GOOD = [tcp('a', '10.96.0.1', ['10.200.0.1']), tcp('b', '10.96.0.2', ['10.200.0.1', '10.200.0.2'])];
const STICKY = tcp('s', '10.96.0.3', ['10.200.0.3'], { affinitySeconds: 60 });

/** The transaction of this number from now on goes wrong. */
const failOnce = (kernel: MemoryNft, fault: Fault, number = 1): void => {
  let count = 0;
  kernel.fault = () => {
    count += 1;
    return count === number ? fault : undefined;
  };
};

describe('what is nobody’s fault', () => {
  const errnos = { EPERM: ERRNO.EPERM, EAGAIN: ERRNO.EAGAIN, ENOMEM: ERRNO.ENOMEM, ENOBUFS: ERRNO.ENOBUFS, ERESTART };
  const faults = Object.entries(errnos).flatMap(([name, errno]): readonly (readonly [string, Fault])[] => [
    [`${name} for the whole`, { as: 'whole', errno }],
    [`${name} for its first message`, { as: 'message', errno }],
  ]);
  const lost: readonly (readonly [string, Fault])[] = [
    ['an answer that is lost', { as: 'answer', errno: ERRNO.ENOBUFS, isDone: true }],
    ['an answer that does not come', { as: 'answer', errno: ERRNO.ETIMEDOUT, isDone: false }],
  ];

  it.each([...faults, ...lost])(
    '%s is told as such, blames no Service, and is cured by the next sync',
    async (_, fault) => {
      const kernel = new MemoryNft();
      const life = start(kernel);
      await life.sync(GOOD);
      const later = [tcp('a', '10.96.0.1', ['10.200.0.9']), STICKY];
      failOnce(kernel, fault);
      await expect(life.sync(later)).rejects.toMatchObject({ name: 'KernelError', scope: 'environment' });
      const report = await life.sync([]);
      expect(report.full).toBe(true);
      expect(life.refused).toEqual([]);
      expect(comparable(await listingOf(kernel))).toEqual(await freshListing([...later, ...GOOD.slice(1)]));
      expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    },
  );

  it('nothing is left half done: a transaction that is refused changes nothing', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync(GOOD);
    const before = await listingOf(kernel);
    kernel.fault = () => ({ as: 'message', errno: ERRNO.ENOMEM });
    await expect(life.sync([STICKY])).rejects.toMatchObject({ scope: 'environment' });
    expect(await listingOf(kernel)).toEqual(before);
  });

  it('a start that fails at each of its transactions once ends as one that did not', async () => {
    for (let number = 1; number <= 6; number += 1) {
      const kernel = new MemoryNft();
      const life = start(kernel);
      failOnce(kernel, { as: 'answer', errno: ERRNO.ENOBUFS, isDone: number % 2 === 0 }, number);
      for (let tries = 0; tries < 3; tries += 1)
        await life.sync(tries === 0 ? everyKind('IPv4') : []).catch(() => undefined);
      expect(comparable(await listingOf(kernel)), `${number}`).toEqual(await freshListing(everyKind('IPv4')));
    }
  });
});

describe('chains that the kernel does not let go of at once', () => {
  const isRemoved = (lines: readonly string[]): boolean => !lines.some((line) => line.includes('remember-60'));

  it('are asked for again within the same sync', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([...GOOD, STICKY]);
    kernel.busyTries = 3;
    const report = await life.sync([], ['ns/s:p/TCP']);
    expect(kernel.busyTries).toBe(0);
    expect(report.drift).toEqual(NO_DRIFT);
    expect(isRemoved(await listingOf(kernel))).toBe(true);
    expect(life.refused).toEqual([]);
  });

  it('wait for the next audit in the end, and keep nobody from being served meanwhile', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([...GOOD, STICKY]);
    kernel.busyTries = 1_000;
    await life.sync([tcp('late', '10.96.0.9', ['10.200.0.9'])], ['ns/s:p/TCP']);
    expect(life.refused).toEqual([]);
    expect((await elementsIn(kernel, ['service-ips'])).join()).toContain('10.96.0.9 . tcp . 80');
    expect((await elementsIn(kernel, ['service-ips', 'sticky-ips'])).join()).not.toContain('10.96.0.3');
    kernel.busyTries = 0;
    await life.reconciler.audit();
    expect(isRemoved(await listingOf(kernel))).toBe(true);
    expect(comparable(await listingOf(kernel))).toEqual(
      await freshListing([...GOOD, tcp('late', '10.96.0.9', ['10.200.0.9'])]),
    );
  });
});

describe('a Service that the kernel refuses', () => {
  const BAD = Buffer.from([10, 200, 66, 6]);
  const isElement = (type: number): boolean => (type & 0xff) === MESSAGE.NEW_ELEMENT;

  it('is set aside by itself among many that change with it, and is served when the cause is gone', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    const many = Array.from({ length: 20 }, (_, n) => tcp(`s${n}`, `10.96.1.${n}`, ['10.200.0.1']));
    await life.sync(many);
    kernel.refuses = ({ type, body }) => (isElement(type) && body.includes(BAD) ? ERRNO.EINVAL : 0);
    const changed = many.map(({ port }, n) => tcp(port.name.name, port.clusterIP, ['10.200.0.1', `10.200.66.${n}`]));
    await life.sync(changed);
    expect(life.refused).toEqual([
      expect.stringMatching(/^ns\/s6:p\/TCP: add element ip kube-proxy endpoints .*EINVAL$/),
    ]);
    const expected = changed.map((service, n) => (n === 6 ? (many[6] ?? service) : service));
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing(expected));
    kernel.refuses = () => 0;
    await life.sync(changed.slice(6, 7));
    await start(kernel).sync(changed);
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing(changed));
  });

  it('on a node that starts leaves nothing of itself', async () => {
    const kernel = new MemoryNft();
    kernel.refuses = ({ type, body }) => (isElement(type) && body.includes(BAD) ? ERRNO.ENOSPC : 0);
    const life = start(kernel);
    await life.sync([...GOOD, tcp('bad', '10.96.0.7', ['10.200.66.6'])]);
    expect(life.refused).toHaveLength(1);
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing(GOOD));
  });
});

describe('a kernel that cannot do all of it', () => {
  it('is found out before anything is written, and why is told', async () => {
    for (const [errno, text] of [
      [ERRNO.EPERM, 'needs root, or the capability CAP_NET_ADMIN'],
      [ERRNO.EOPNOTSUPP, 'needs Linux 5.13 or newer'],
    ] as const) {
      const kernel = new MemoryNft();
      kernel.fault = () => ({ as: 'message', errno });
      await expect(start(kernel).sync(GOOD)).rejects.toThrow(text);
      expect(kernel.transactions).toEqual([]);
    }
  });

  it('is asked with a table that never comes to be', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([]);
    expect(await listingOf(kernel, 'ip', { table: 'pointsman-probe' })).toEqual([]);
    expect(kernel.transactions).toHaveLength(1);
  });
});

it('the families do not get into each other’s way', async () => {
  const kernel = new MemoryNft();
  for (const family of ['IPv4', 'IPv6'] as const) await start(kernel, family).sync(everyKind(family));
  for (const family of ['IPv4', 'IPv6'] as const) {
    const listing = comparable(await listingOf(kernel, nftFamily(family)));
    expect(listing).toEqual(await freshListing(everyKind(family), family, nodeOf(family)));
  }
});
