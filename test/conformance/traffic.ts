/** Traffic metrics of Services with real packets, the same in all modes but for what a mode cannot know. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { ProbeOutcome } from '../../src/lab/network/outcome.ts';
import type { IPFamily } from '../../src/model/address.ts';
import { type Bench, untilAnswered } from '../kernel/cluster.ts';
import { parseExposition, type Sample } from '../observe/exposition.ts';
import {
  type Destination,
  destinationOf,
  type EndpointSpec,
  objectsOf,
  type PodName,
  type ServiceSpec,
  type Variant,
} from './world.ts';

export interface TrafficBench {
  readonly bench: Bench;
  /** How long numbers may lag behind. */
  readonly patienceMs: number;
  /** How old what the kernel says may be: IPVS adds up its counters every two seconds. */
  readonly lagMs?: number;
  /** Where the endpoint goes; less where time is dear. */
  readonly moves?: readonly PodName[];
  /** Numbers of Services that nobody else uses: from here on. */
  readonly first: number;
}

export interface Counted {
  readonly connections: number;
  readonly packetsIn?: number;
  readonly packetsOut?: number;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
}

type From = 'pod3' | 'node1' | 'outside';

const HERE: readonly EndpointSpec[] = [{ on: 'pod1' }, { on: 'remote1' }];
/** Below those that the kernel takes by itself. */
const FIRST_LOCAL_PORT = 20_000;
const POLL_MS = 300;
const QUESTION_BYTES = '?\n'.length;
const HEADER_BYTES = { IPv4: 20 + 8, IPv6: 40 + 8 } as const;

/** The node's own exposition. */
export const scrape = async ({ lab }: Bench): Promise<ReturnType<typeof parseExposition>> => {
  const code = "fetch('http://127.0.0.1:10249/metrics').then((r) => r.text()).then((t) => process.stdout.write(t))";
  const { stdout } = await lab.run('node1', process.execPath, ['-e', code]);
  return parseExposition(`${stdout}\n`); // the line's end is taken off on the way
};

/** Of a Service; undefined where it has no series. */
export const countedOf = async (
  bench: Bench,
  service: string,
  family: IPFamily = 'IPv4',
): Promise<Counted | undefined> => {
  const families = await scrape(bench);
  const value = (name: string, isWanted: (sample: Sample) => boolean = () => true): number | undefined =>
    families
      .get(`pointsman_service_${name}_total`)
      ?.samples.find((one) => one.labels.service === service && one.labels.ip_family === family && isWanted(one))
      ?.value;
  const connections = value('connections');
  if (connections === undefined) return undefined;
  const more = (['packets', 'bytes'] as const).flatMap((name) =>
    (['in', 'out'] as const).map((direction) => [
      `${name}${direction === 'in' ? 'In' : 'Out'}`,
      value(name, ({ labels }) => labels.direction === direction),
    ]),
  );
  return { connections, ...Object.fromEntries(more.filter(([, number]) => number !== undefined)) };
};

const difference = (after: Counted, before: Counted): Counted =>
  Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - (before[name as keyof Counted] ?? 0)]),
  ) as unknown as Counted;

const MOVES: readonly PodName[] = ['remote1', 'pod2'];

/** Declares the tests; `get` is asked when they run. */
export const trafficTests = (mode: 'iptables' | 'ipvs' | 'nftables', title: string, get: () => TrafficBench): void => {
  const isSeen = mode !== 'iptables';

  /** What is counted, by a reading that begins after this was called. */
  const fresh = async (service: string, family?: IPFamily): Promise<Counted> => {
    const { bench, patienceMs, lagMs = 0 } = get();
    await sleep(lagMs);
    const since = Date.now() / 1_000;
    const readAt = async (): Promise<number> => {
      const samples = (await scrape(bench)).get('pointsman_service_traffic_read_timestamp_seconds')?.samples ?? [];
      return Math.min(...samples.map(({ value }) => value));
    };
    // not by expect.poll, which is for tests that run one at a time
    for (const deadline = Date.now() + patienceMs; (await readAt()) <= since; await sleep(POLL_MS)) {
      if (Date.now() > deadline) throw new Error('nothing is read any more');
    }
    const counted = await countedOf(bench, service, family);
    if (counted === undefined) throw new Error(`${service} has no series`);
    return counted;
  };

  /** By how much it has grown, once it has by so many connections, and a reading later. */
  const growth = async (service: string, before: Counted, connections: number, family?: IPFamily): Promise<Counted> => {
    const { bench, patienceMs } = get();
    let grown = 0;
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await sleep(POLL_MS)) {
      const now = await countedOf(bench, service, family);
      grown = (now?.connections ?? 0) - before.connections;
      if (grown >= connections) return difference(await fresh(service, family), before);
    }
    throw new Error(`${service}: ${grown} connections, not ${connections}`);
  };

  const serve = async (name: string, spec: ServiceSpec, variant: Variant): Promise<Counted> => {
    const { bench } = get();
    await bench.cluster.put(objectsOf(name, spec, variant));
    const protocol = variant.protocol === 'UDP' ? 'udp' : 'tcp';
    await untilAnswered(bench.lab, 'pod3', { protocol, ...destinationOf('cluster', variant) }, 60_000);
    return fresh(name, variant.family);
  };

  /** These endpoints and no others, in the kernel. */
  const move = async (name: string, endpoints: readonly EndpointSpec[], variant: Variant): Promise<void> => {
    const { bench, patienceMs } = get();
    const written = async (): Promise<number> => {
      const samples = (await scrape(bench)).get('pointsman_objects_written_total')?.samples ?? [];
      return samples.reduce((sum, { value }) => sum + value, 0);
    };
    const before = await written();
    await bench.cluster.put(objectsOf(name, { endpoints }, variant).slice(1));
    await expect.poll(written, { timeout: patienceMs }).toBeGreaterThan(before);
  };

  let nextPort = FIRST_LOCAL_PORT;
  const call = async (from: From, to: Destination, variant: Variant, tries: number) => {
    const agent = await get().bench.lab.agent(from);
    const protocol = variant.protocol === 'UDP' ? ('udp' as const) : ('tcp' as const);
    const target = { protocol, ...destinationOf(to, variant), timeoutMs: 5_000 };
    const outcomes: ProbeOutcome[] = [];
    // a port that was used a moment ago is the same flow
    if (protocol === 'udp')
      for (let i = 0; i < tries; i += 1)
        outcomes.push(...(await agent.probe({ ...target, tries: 1, localPort: nextPort++ })));
    else outcomes.push(...(await agent.probe({ ...target, tries, parallel: 4 })));
    expect(outcomes.filter(({ kind }) => kind !== 'answer')).toEqual([]);
    return outcomes.flatMap((outcome) => (outcome.kind === 'answer' ? [outcome] : []));
  };

  it.concurrent(`${title}: connections are counted once, by whatever address and from wherever they come`, async () => {
    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number: get().first };
    const before = await serve('ways', { nodePort: true, externalIP: true, vip: true, endpoints: HERE }, variant);
    await call('pod3', 'cluster', variant, 5);
    await call('node1', 'cluster', variant, 4);
    await call('outside', 'node-port', variant, 3);
    await call('outside', 'external', variant, 2);
    await call('outside', 'vip', variant, 1);
    expect((await growth('ways', before, 15)).connections).toBe(15);
  });

  it.concurrent(`${title}: also under policy Local`, async () => {
    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number: get().first + 1 };
    const spec = { externalTrafficPolicy: 'Local' };
    const before = await serve('local', { nodePort: true, vip: true, endpoints: HERE, spec }, variant);
    await call('pod3', 'cluster', variant, 4);
    await call('pod3', 'node-port', variant, 3);
    await call('outside', 'vip', variant, 5);
    await call('node1', 'vip', variant, 2);
    expect((await growth('local', before, 14)).connections).toBe(14);
  });

  it.concurrent(`${title}: also with session affinity`, async () => {
    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number: get().first + 5 };
    const spec = { sessionAffinity: 'ClientIP' };
    const before = await serve('sticky', { nodePort: true, endpoints: HERE, spec }, variant);
    await call('pod3', 'cluster', variant, 6);
    await call('outside', 'node-port', variant, 3);
    expect((await growth('sticky', before, 9)).connections).toBe(9);
  });

  it.concurrent.each(['IPv4', 'IPv6'] as const)(
    `${title}: each packet and byte is counted once, in %s`,
    async (family) => {
      const variant: Variant = { family, protocol: 'UDP', number: get().first + 2 };
      const before = await serve(`bytes-${family.toLowerCase()}`, { nodePort: true, endpoints: HERE }, variant);
      const answers = [
        ...(await call('pod3', 'cluster', variant, 20)),
        ...(await call('outside', 'node-port', variant, 10)),
      ];
      const sizes = answers.map(({ server, client }) => JSON.stringify({ server, client }).length);
      const header = HEADER_BYTES[family];
      expect(await growth(`bytes-${family.toLowerCase()}`, before, 30, family)).toEqual({
        connections: 30,
        ...(isSeen && {
          packetsIn: 30,
          bytesIn: 30 * (header + QUESTION_BYTES),
          packetsOut: 30,
          bytesOut: sizes.reduce((sum, size) => sum + header + size, 0),
        }),
      });
    },
  );

  it(`${title}: nothing is lost or counted twice when endpoints come and go`, async () => {
    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number: get().first + 3 };
    const before = await serve('moving', { endpoints: [{ on: 'pod1' }] }, variant);
    let connections = 0;
    for (const on of get().moves ?? MOVES) {
      await call('pod3', 'cluster', variant, 6);
      connections += 6;
      expect((await growth('moving', before, connections)).connections).toBe(connections);
      await move('moving', [{ on }], variant);
      const servers = (await call('pod3', 'cluster', variant, 3)).map(({ server }) => server);
      expect(servers).toEqual([on, on, on]);
      connections += 3;
    }
    expect((await growth('moving', before, connections)).connections).toBe(connections);
  });

  it(`${title}: what nothing comes to has series of 0, and none once it is gone`, async () => {
    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number: get().first + 4 };
    const { bench } = get();
    const objects = objectsOf('idle', { endpoints: HERE }, variant);
    await bench.cluster.put(objects);
    const zero = { connections: 0, ...(isSeen && { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 }) };
    await expect.poll(() => countedOf(bench, 'idle'), { timeout: get().patienceMs }).toEqual(zero);
    await bench.cluster.delete(objects);
    await expect.poll(() => countedOf(bench, 'idle'), { timeout: get().patienceMs }).toBeUndefined();
  });
};
