/** What the janitor tells those who look on; what it does is seen with real flows. */
import { expect, it, vi } from 'vitest';
import { Janitor } from '../../src/conntrack/janitor.ts';
import type { Connection } from '../../src/netlink/connection.ts';
import { service } from '../dataplane/fake-backend.ts';

const janitorOver = (visit: () => Promise<boolean>) => {
  const cleaned: (readonly [seconds: number, deleted: number])[] = [];
  const mute = (): void => undefined;
  const janitor = new Janitor({
    family: 'IPv4',
    connection: { visit, close: mute } as unknown as Connection,
    localAddresses: () => [],
    log: { info: mute, warn: mute },
    onCleaned: (...cleaning) => cleaned.push(cleaning),
  });
  return { janitor, cleaned };
};

const dns = service('dns', '10.0.0.10', ['1.1.1.1']);
const UDP = { ...dns, port: { ...dns.port, name: { ...dns.port.name, protocol: 'UDP' as const } } };

it.each([
  ['finds nothing', (): Promise<boolean> => Promise.resolve(true)],
  ['cannot look', (): Promise<boolean> => Promise.reject(new Error('no permission'))],
])('a look at the flows that %s is told with its time', async (_, visit) => {
  const { janitor, cleaned } = janitorOver(visit);
  janitor.synced([UDP], []);
  await vi.waitFor(() => expect(cleaned).toEqual([[expect.any(Number), 0]]));
  await janitor.stop();
});

it('nothing is told of a sync after which nobody had to look', async () => {
  const { janitor, cleaned } = janitorOver(async () => true);
  janitor.synced([dns], []);
  await janitor.stop();
  expect(cleaned).toEqual([]);
});
