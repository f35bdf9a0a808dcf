/** When StaleFlowCleaner runs a pass, what it reports, and what follows a failed pass; the deletions are tested with real flows in test/kernel. */
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { StaleFlowCleaner } from '../../src/conntrack/stale-flow-cleaner.ts';
import type { NetlinkConnection } from '../../src/netlink/connection.ts';
import { service } from '../dataplane/fake-backend.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

const pass = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
  for (let i = 0; i < 10; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

const cleanerOver = (visit: () => Promise<boolean>) => {
  const cleaned: (readonly [seconds: number, deleted: number])[] = [];
  const said: string[] = [];
  const counts = { looks: 0, open: 0 };
  const open = (): NetlinkConnection => {
    counts.open += 1;
    const look = (): Promise<boolean> => {
      counts.looks += 1;
      return visit();
    };
    const close = (): void => {
      counts.open -= 1;
    };
    return { visit: look, close } as unknown as NetlinkConnection;
  };
  const say = (_: unknown, message?: string): void => void said.push(message ?? '');
  const cleaner = new StaleFlowCleaner({
    family: 'IPv4',
    open,
    localAddresses: () => [],
    log: { info: say, warn: say } as never,
    onCleaned: (...cleaning) => cleaned.push(cleaning),
  });
  onTestFinished(() => cleaner.stop());
  return { cleaner, cleaned, said, counts };
};

const udp = (...serving: readonly string[]) => {
  const dns = service('dns', '10.0.0.10', serving);
  return { ...dns, port: { ...dns.port, name: { ...dns.port.name, protocol: 'UDP' as const } } };
};
const UDP = udp('1.1.1.1');
const TCP = service('dns', '10.0.0.10', ['1.1.1.1']);

it.each([
  ['finds nothing', (): Promise<boolean> => Promise.resolve(true)],
  ['cannot look', (): Promise<boolean> => Promise.reject(new Error('no permission'))],
])('a look at the flows that %s is told with its time', async (_, visit) => {
  const { cleaner, cleaned } = cleanerOver(visit);
  cleaner.synced([UDP], []);
  await pass(0);
  expect(cleaned).toEqual([[expect.any(Number), 0]]);
});

it('nothing is told of a sync after which nobody had to look', async () => {
  const { cleaner, cleaned, counts } = cleanerOver(async () => true);
  cleaner.synced([TCP], []);
  cleaner.repaired();
  await pass(1_000);
  expect(counts.looks).toBe(0);
  cleaner.synced([UDP], []);
  await pass(1_000);
  cleaner.synced([UDP], []);
  await pass(1_000);
  expect(counts).toEqual({ looks: 1, open: 0 });
  expect(cleaned).toHaveLength(2);
});

it.each([
  ['refused', (): Promise<boolean> => Promise.reject(new Error('EPERM'))],
  ['torn', (): Promise<boolean> => Promise.resolve(false)],
])('a look that is %s is made again with a back-off until it is done, and said once', async (_, fail) => {
  let isFailing = true;
  const { cleaner, counts, said } = cleanerOver(() => (isFailing ? fail() : Promise.resolve(true)));
  cleaner.synced([UDP], []);
  for (let second = 0; second < 120; second += 1) await pass(1_000);
  expect(counts.looks).toBeGreaterThan(5);
  expect(counts.looks).toBeLessThan(15);
  isFailing = false;
  const before = counts.looks;
  await pass(31_000);
  await pass(60_000);
  expect(counts).toEqual({ looks: before + 1, open: 0 });
  expect(said).toEqual([expect.stringMatching(/cannot be deleted/), expect.stringMatching(/can be deleted again/)]);
});

it('a stream of changes is looked at for a share of the time', async () => {
  const { cleaner, counts } = cleanerOver(async () => {
    vi.advanceTimersByTime(100); // many flows
    return true;
  });
  for (let i = 0; i < 500; i += 1) {
    cleaner.synced([udp(`1.1.${i}.1`)], []);
    await pass(10);
  }
  expect(counts.looks).toBeGreaterThan(5);
  expect(counts.looks * 100).toBeLessThan((500 * 10 + counts.looks * 100) / 3);
});

it('a sync and a repair of one moment are one look', async () => {
  const { cleaner, counts } = cleanerOver(async () => true);
  cleaner.adopted([{ ip: '10.0.0.99', protocol: 'UDP', port: 53 }]);
  cleaner.synced([UDP], []);
  cleaner.repaired();
  await pass(1_000);
  expect(counts.looks).toBe(1);
});

it('who stops it waits for nothing that is only due', async () => {
  const { cleaner, counts } = cleanerOver(() => Promise.reject(new Error('EPERM')));
  cleaner.synced([UDP], []);
  await pass(0);
  await cleaner.stop();
  await pass(60_000);
  expect(counts).toEqual({ looks: 1, open: 0 });
});
