/** When traffic is read, who waits for it, and what becomes of a reading that fails. */
import { describe, expect, it } from 'vitest';
import { profileOf } from '../../../src/backends/index.ts';
import type { ProxyMode } from '../../../src/config/config.ts';
import type { ObjectTraffic } from '../../../src/dataplane/contract.ts';
import { ownerOf } from '../../../src/model/service.ts';
import { type ShownTraffic, trafficExposition } from '../../../src/observe/traffic/exposition.ts';
import { FamilyTraffic } from '../../../src/observe/traffic/family-traffic.ts';
import { service } from '../../dataplane/fake-backend.ts';
import { faults, parseExposition } from '../exposition.ts';
import { HandClock } from '../health-clients.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

const exposed = (mode: ProxyMode, families: readonly ShownTraffic[]): Promise<string> =>
  trafficExposition(profileOf(mode).metrics.traffic, families);

/** A family with a kernel that says what it is told to. */
const bench = (places = 10) => {
  const clock = new HandClock();
  const said: string[] = [];
  const log = (level: string) => (fields: object, message: string) =>
    void said.push(`${level}: ${message} ${JSON.stringify(fields)}`);
  const traffic = new FamilyTraffic({
    family: 'IPv4',
    places,
    clock,
    now: () => NOW + clock.now(),
    log: { info: log('info'), warn: log('warn') } as never,
  });
  const kernel = {
    readings: 0,
    connections: new Map<string, number>(),
    answer: async (): Promise<ObjectTraffic | undefined> => ({
      counts: new Map([...kernel.connections].map(([id, connections]) => [id, { connections }])),
      isWhole: true,
    }),
  };
  traffic.begin({
    traffic: () => {
      kernel.readings += 1;
      return kernel.answer();
    },
    ownerOf: (id) => `ns/${id}:p/TCP`,
  });
  const shown = (): Readonly<Record<string, number>> =>
    Object.fromEntries([...traffic.rows()].map(([{ name }, { connections }]) => [name, connections]));
  return { clock, said, traffic, kernel, shown };
};

const synced = (...names: readonly string[]) => ({
  services: names.map((name) => service(name, '10.0.0.1', [])),
  gone: [],
});
const gone = (...names: readonly string[]) => ({
  services: [],
  gone: names.map((name) => ownerOf(service(name, '10.0.0.1', []).port.name)),
});
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('traffic is read', () => {
  it('not before the first sync, then once to begin with', async () => {
    const { traffic, kernel, shown } = bench();
    await traffic.refresh();
    expect(kernel.readings).toBe(0);
    kernel.connections.set('a', 700);
    traffic.synced(synced('a'));
    traffic.synced(synced('b'));
    await settle();
    expect([kernel.readings, shown()]).toEqual([1, { a: 0, b: 0 }]);
  });

  it('when somebody looks, once a second at most, and once for all who look at a time', async () => {
    const { clock, traffic, kernel, shown } = bench();
    kernel.connections.set('a', 700);
    traffic.synced(synced('a'));
    await settle();
    kernel.connections.set('a', 705);
    await traffic.refresh();
    expect([kernel.readings, shown()]).toEqual([1, { a: 0 }]);
    clock.pass(1_000);
    await Promise.all([traffic.refresh(), traffic.refresh(), traffic.refresh()]);
    expect([kernel.readings, shown()]).toEqual([2, { a: 5 }]);
    expect(traffic.readAt).toBe(NOW + 1_000);
  });

  it('no more than a tenth of the time, and nobody waits long for it', async () => {
    const { clock, traffic, kernel, shown } = bench();
    traffic.synced(synced('a'));
    await settle();
    clock.pass(1_000);
    let finish = (_: ObjectTraffic): void => undefined;
    kernel.answer = () =>
      new Promise((resolve) => {
        finish = resolve;
      });
    let isOver = false;
    const looking = traffic.refresh().then(() => {
      isOver = true;
    });
    clock.pass(1_999);
    await settle();
    expect(isOver).toBe(false);
    clock.pass(1);
    await looking;
    expect([shown(), clock.armed]).toEqual([{ a: 0 }, []]);
    clock.pass(1_000);
    finish({ counts: new Map([['a', { connections: 9 }]]), isWhole: true });
    await settle();
    expect(shown()).toEqual({ a: 9 });
    // it took 3 s
    clock.pass(27_000 - 1);
    await traffic.refresh();
    expect(kernel.readings).toBe(2);
    clock.pass(1);
    const again = traffic.refresh();
    expect(kernel.readings).toBe(3);
    finish({ counts: new Map(), isWhole: true });
    await again;
  });

  it('and where it cannot be, numbers stay, and it is said once', async () => {
    const { clock, said, traffic, kernel, shown } = bench();
    traffic.synced(synced('a'));
    await settle();
    clock.pass(1_000);
    kernel.connections.set('a', 4);
    await traffic.refresh();
    const { answer } = kernel;
    kernel.answer = async () => {
      throw new Error('no such table');
    };
    for (let i = 0; i < 3; i += 1) {
      clock.pass(1_000);
      await traffic.refresh();
    }
    expect([kernel.readings, shown(), traffic.readAt]).toEqual([5, { a: 4 }, NOW + 1_000]);
    expect(said).toEqual([expect.stringMatching(/^warn: .*cannot be read.*no such table/)]);
    kernel.answer = answer;
    kernel.connections.set('a', 6);
    clock.pass(1_000);
    await traffic.refresh();
    expect([shown(), said.length, said[1]]).toEqual([{ a: 6 }, 2, expect.stringMatching(/^info: .*again/)]);
  });

  it('of those that have a place, and who comes back begins at 0', async () => {
    const { clock, traffic, kernel, shown } = bench(1);
    traffic.synced(synced('a', 'b'));
    await settle();
    clock.pass(1_000);
    kernel.connections.set('a', 4).set('b', 8);
    await traffic.refresh();
    expect([shown(), traffic.omitted]).toEqual([{ a: 4 }, 1]);
    traffic.synced(gone('a'));
    kernel.connections.delete('a');
    expect([shown(), traffic.omitted]).toEqual([{ b: 0 }, 0]);
    traffic.synced(gone('b'));
    traffic.synced(synced('a'));
    expect(shown()).toEqual({ a: 0 });
  });
});

describe('the exposition', () => {
  it('has what the mode can know, without fault', async () => {
    const { clock, traffic, kernel } = bench(2);
    traffic.synced(synced('a', 'b', 'c'));
    await settle();
    clock.pass(1_000);
    kernel.answer = async () => ({
      counts: new Map([['a', { connections: 1, packetsIn: 2, packetsOut: 3, bytesIn: 4, bytesOut: 5 }]]),
      isWhole: true,
    });
    const text = await exposed('nftables', [traffic]);
    expect(faults(parseExposition(text))).toEqual([]);
    const a = 'ip_family="IPv4",namespace="ns",service="a",port="p",protocol="TCP"';
    expect(text.split('\n').filter((line) => /^[^#]/.test(line) && !line.includes('service="b"'))).toEqual([
      'pointsman_service_traffic_omitted{ip_family="IPv4"} 1',
      `pointsman_service_traffic_read_timestamp_seconds{ip_family="IPv4"} ${NOW / 1_000 + 1}`,
      `pointsman_service_connections_total{${a}} 1`,
      `pointsman_service_packets_total{${a},direction="in"} 2`,
      `pointsman_service_packets_total{${a},direction="out"} 3`,
      `pointsman_service_bytes_total{${a},direction="in"} 4`,
      `pointsman_service_bytes_total{${a},direction="out"} 5`,
    ]);
    const iptables = parseExposition(await exposed('iptables', [traffic]));
    expect([...iptables.keys()].filter((name) => name.includes('_service_'))).toEqual([
      'pointsman_service_traffic_omitted',
      'pointsman_service_traffic_read_timestamp_seconds',
      'pointsman_service_connections_total',
    ]);
  });

  it('holds its own whatever a Service is called', async () => {
    const { traffic } = bench();
    const odd = service('a', '10.0.0.1', []);
    const port = { ...odd.port, name: { ...odd.port.name, name: 'x"} 1\n\\' } };
    traffic.synced({ services: [{ ...odd, port }], gone: [] });
    const families = parseExposition(await exposed('ipvs', [traffic]));
    expect(families.get('pointsman_service_connections_total')?.samples).toMatchObject([
      { labels: { service: 'x\\"} 1\\n\\\\' }, value: 0 },
    ]);
  });

  it('leaves other work its turns, and shows nobody twice who goes and comes back meanwhile', async () => {
    const { traffic } = bench(100_000);
    const names = Array.from({ length: 60_000 }, (_, i) => `s${i}`);
    traffic.synced(synced(...names));
    await settle();
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      traffic.synced(gone(`s${turns}`));
      traffic.synced(synced(`s${turns}`));
      immediate = setImmediate(turn);
    };
    let immediate = setImmediate(turn);
    const text = await exposed('nftables', [traffic]);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThan(3);
    const lines = text.split('\n');
    expect(new Set(lines).size).toBe(lines.length);
  });
});
