/** The node's addresses as the kernel tells them: what counts, for how long, and what it costs. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { GRACE_MS, NodeAddresses } from '../../src/addresses/node-addresses.ts';
import { FLAG } from '../../src/netlink/message.ts';
import { FakeRtnetlink } from './fake-rtnetlink.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

/** Looks at the sockets at least once, and ends what that began. */
const pass = async (ms = 110): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

const start = async (prepare: (kernel: FakeRtnetlink) => void, open?: () => never) => {
  const kernel = new FakeRtnetlink();
  prepare(kernel);
  const warnings: unknown[] = [];
  let changes = 0;
  const node = await NodeAddresses.open({
    log: { warn: (...args: readonly unknown[]) => void warnings.push(args) },
    onChange: () => {
      changes += 1;
    },
    open: open ?? kernel.open,
  });
  onTestFinished(() => node.close());
  return { kernel, node, warnings, changes: () => changes };
};

const twoLinks = (kernel: FakeRtnetlink): void => {
  kernel.link(1, 'lo');
  kernel.link(2, 'eth0');
  kernel.link(3, 'eth1');
  kernel.add(1, '127.0.0.1');
  kernel.add(2, '10.250.0.1');
  kernel.add(2, 'fd50::1');
};

describe('the addresses of the node', () => {
  it('are listed at the start, and each is there once', async () => {
    const { node, changes } = await start((kernel) => {
      twoLinks(kernel);
      kernel.add(3, '10.250.0.1');
    });
    expect(node.addresses).toEqual(['10.250.0.1', '127.0.0.1', 'fd50::1']);
    await pass();
    expect(changes()).toBe(0);
  });

  it('are more as soon as the kernel tells so, many with one call', async () => {
    const { kernel, node, changes } = await start(twoLinks);
    for (let i = 1; i < 100; i += 1) kernel.add(3, `10.9.0.${i}`);
    await pass();
    expect(node.addresses).toHaveLength(102);
    expect(changes()).toBe(1);
  });

  it('are the same array as long as nothing changes', async () => {
    const { kernel, node, changes } = await start(twoLinks);
    await pass();
    const before = node.addresses;
    kernel.link(2, 'eth0');
    kernel.add(2, '10.250.0.1');
    kernel.add(3, '10.250.0.1');
    kernel.remove(3, '10.250.0.1');
    kernel.leavesBridge(2);
    await pass();
    expect(node.addresses).toBe(before);
    expect(changes()).toBe(0);
  });

  it('stay for a while when one is taken away, and for good when it comes back', async () => {
    const { kernel, node, changes } = await start(twoLinks);
    kernel.remove(2, '10.250.0.1');
    await pass(GRACE_MS / 2);
    expect(node.addresses).toContain('10.250.0.1');
    kernel.add(2, '10.250.0.1');
    await pass(GRACE_MS * 2);
    expect(node.addresses).toContain('10.250.0.1');
    expect(changes()).toBe(0);
  });

  it.each([
    ['it is taken away', (kernel: FakeRtnetlink) => kernel.remove(2, '10.250.0.1'), ['127.0.0.1', 'fd50::1']],
    ['its link is', (kernel: FakeRtnetlink) => kernel.unlink(2), ['127.0.0.1']],
  ])('are fewer some seconds after %s', async (_, go, left) => {
    const { kernel, node, changes } = await start(twoLinks);
    go(kernel);
    await pass(GRACE_MS - 500);
    expect(node.addresses).toHaveLength(3);
    await pass(1_000);
    expect(node.addresses).toEqual(left);
    expect(changes()).toBe(1);
  });
});

describe('what mode ipvs has on its link', () => {
  const many = Array.from({ length: 10_000 }, (_, i) => `10.96.${i >> 8}.${i & 255}`);

  it('is not the node’s, and costs it nothing', async () => {
    const { kernel, node, changes } = await start((one) => {
      twoLinks(one);
      one.link(9, 'kube-ipvs0');
      one.add(9, '10.96.200.1');
    });
    await pass();
    const { addresses } = node;
    const { lists } = kernel.counts;
    for (const address of many) kernel.add(9, address);
    await pass(2_000);
    for (const address of many) kernel.remove(9, address);
    await pass(2_000 + GRACE_MS);
    expect(node.addresses).toBe(addresses);
    expect(addresses).not.toContain('10.96.200.1');
    expect([changes(), kernel.counts.lists]).toEqual([0, lists]);
  });

  it('is not either where the link comes later, or goes and comes back under another number', async () => {
    const { kernel, node, changes } = await start(twoLinks);
    kernel.link(9, 'kube-ipvs0');
    for (const address of many.slice(0, 100)) kernel.add(9, address);
    await pass();
    kernel.unlink(9);
    kernel.link(12, 'kube-ipvs0');
    for (const address of many.slice(0, 100)) kernel.add(12, address);
    await pass();
    expect(node.addresses).toHaveLength(3);
    expect(changes()).toBe(0);
  });

  it('is taken in parts: other work has its turns', async () => {
    const { kernel, node } = await start(twoLinks);
    kernel.link(9, 'kube-ipvs0');
    await pass();
    const before = kernel.counts.heard;
    for (const address of many) kernel.add(9, address);
    kernel.add(3, '10.9.0.1');
    vi.advanceTimersToNextTimer();
    expect(kernel.counts.heard - before).toBeLessThanOrEqual(1_000);
    await pass(1_000);
    expect(node.addresses).toContain('10.9.0.1');
  });
});

describe('where the kernel', () => {
  it('told more than could be kept, all is listed again, and once in a second at most', async () => {
    const { kernel, node } = await start(twoLinks);
    await pass(2_000);
    const { lists } = kernel.counts;
    kernel.add(3, '10.9.0.1');
    kernel.remove(2, 'fd50::1');
    kernel.overrun();
    await pass();
    await pass();
    expect(node.addresses).toContain('10.9.0.1');
    for (let i = 0; i < 6; i += 1) {
      kernel.overrun();
      await pass();
    }
    expect(kernel.counts.lists - lists).toBe(2); // one of each family
    await pass(GRACE_MS);
    expect(node.addresses).not.toContain('fd50::1');
  });

  it('gave a list in pieces, it is asked again', async () => {
    const { kernel, node } = await start((one) => {
      twoLinks(one);
      one.listFlags = FLAG.DUMP_INTR;
    });
    const { lists } = kernel.counts;
    expect(node.addresses).toHaveLength(3);
    kernel.listFlags = 0;
    await pass(1_200);
    expect(kernel.counts.lists).toBe(lists + 2);
    await pass(5_000);
    expect(kernel.counts.lists).toBe(lists + 2);
  });

  it('fails, the addresses are those that Node.js finds, which is said once, and netlink is tried again', async () => {
    const { kernel, node, warnings } = await start(twoLinks);
    kernel.break();
    await pass();
    expect(kernel.counts.open).toBe(0);
    expect(node.addresses).toContain('127.0.0.1');
    await pass(6_000);
    expect(kernel.counts.open).toBe(2);
    kernel.add(3, '10.9.0.1');
    kernel.break();
    await pass();
    await pass(6_000);
    expect(node.addresses).toEqual(expect.arrayContaining(['10.250.0.1', '10.9.0.1']));
    expect(warnings).toHaveLength(1);
  });

  it('cannot be asked at all, they are those too', async () => {
    const { node, warnings } = await start(twoLinks, () => {
      throw new Error('no such library');
    });
    expect(node.addresses).toContain('127.0.0.1');
    await pass(20_000);
    expect(warnings).toEqual([[{ error: 'no such library' }, expect.any(String)]]);
  });
});

it('who closes it has closed its sockets, also while they are read', async () => {
  const { kernel, node, warnings } = await start(twoLinks);
  node.check();
  vi.advanceTimersByTime(1_200);
  await node.close();
  expect(kernel.counts.open).toBe(0);
  expect(warnings).toEqual([]);
});
