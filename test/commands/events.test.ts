/** What is told of a node's life: objects in, a kernel in memory, and Events out. */
import pino from 'pino';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { NodeEvents, openEvents } from '../../src/commands/events.ts';
import { type FamilyAtWork, startFamily } from '../../src/commands/family.ts';
import { Observing } from '../../src/commands/observing.ts';
import type { Setup } from '../../src/commands/setup.ts';
import type { Config } from '../../src/config/config.ts';
import { OBJECT_KINDS, type ObjectSink } from '../../src/model/kubernetes.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { Life } from '../../src/observe/life.ts';
import { Progress } from '../../src/observe/progress.ts';
import type { EventText } from '../../src/sources/apiserver/event.ts';
import { loadLine } from '../config/loading.ts';
import { FakeKernel } from '../dataplane/fake-backend.ts';
import { NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from '../model/objects.ts';
import { eventually } from '../observe/health-bench.ts';
import { ask, freePorts, occupy, portOf, vacate } from '../observe/health-clients.ts';

let config: Config;
beforeEach(async () => {
  const loaded = (await loadLine(['--proxy-mode=nftables', '--iptables-sync-period=50ms'])).config;
  config = { ...loaded, metricsBindAddress: '', healthzBindAddress: '' };
});

const life = new Life();

const setupWith = (changed: Partial<Config> = {}): Setup => ({
  config: { ...config, ...changed },
  warnings: [],
  flags: [],
  nodeName: 'node1',
  log: pino({ level: 'silent' }),
});

const NODE = { apiVersion: 'v1', kind: 'Node', name: 'node1', uid: 'node1' };

const telling = (setup: Setup) => {
  const told: EventText[] = [];
  const recorder = {
    record: (event: EventText) => void told.push(event),
    counts: { written: 7, limited: 5, lost: 3 },
    stop: async () => undefined,
  };
  return { told, events: new NodeEvents(setup, recorder) };
};

/** One family at work, everything synced. */
const start = async () => {
  const setup = setupWith();
  const { told, events } = telling(setup);
  const observing = new Observing(setup, life, ['IPv4'], { run: async () => undefined }, events);
  const kernel = new FakeKernel();
  const stop = new AbortController();
  const atWork: FamilyAtWork[] = [];
  const onChange = (): void => {
    for (const family of atWork) family.request();
  };
  const tracker = new Tracker({ node: NODE_OPTIONS, families: ['IPv4'], onChange });
  const { health, records } = observing;
  for (const [family, record] of records) {
    const progress = new Progress([family], setup.log);
    const hooks = { interfaceAddresses: () => [], onFirstSync: () => undefined };
    const parts = { family, backend: kernel as never, tracker, progress, record, health, events, ...hooks };
    atWork.push(startFamily(setup, parts, stop.signal));
  }
  onTestFinished(async () => {
    stop.abort();
    await Promise.all(atWork.map((family) => family.stop()));
  });
  const sink: ObjectSink = observing.listenIn(tracker);
  const objects = {
    Service: [serviceObject('ns/web')],
    EndpointSlice: [sliceObject('ns/web-1', ['10.200.0.7'])],
    ServiceCIDR: [],
  };
  for (const kind of OBJECT_KINDS) await sink.replace(kind, kind === 'Node' ? [nodeObject()] : objects[kind]);
  await vi.waitFor(() => expect(kernel.objects.size).toBe(3));
  return { kernel, sink, told };
};

const soon = (told: readonly EventText[], expected: readonly object[]): Promise<void> =>
  vi.waitFor(() => expect(told).toEqual(expected.map((event) => expect.objectContaining(event))));

describe('the Node is told', () => {
  it('nothing when all is well', async () => {
    const { sink, told } = await start();
    sink.put('EndpointSlice', sliceObject('ns/web-1', ['10.200.0.9']));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(told).toEqual([]);
  });

  it('whom the kernel refuses and what it said, and when that is over', async () => {
    const { kernel, sink, told } = await start();
    kernel.refuses = (content) => content === 'to bad';
    sink.put('Service', serviceObject('ns/bad', { clusterIP: '10.96.0.11' }));
    const refused = {
      type: 'Warning',
      reason: 'ServiceQuarantined',
      note: 'ns/bad:p/TCP (IPv4) is set aside: refused: vip 10.96.0.11',
      regarding: NODE,
    };
    await soon(told, [refused]);
    kernel.refuses = () => false;
    const over = { type: 'Normal', reason: 'ServiceReleased' };
    const served = 'ns/bad:p/TCP (IPv4), which was set aside, is served again';
    await vi.waitFor(() => expect(told).toHaveLength(2), { timeout: 3_000 });
    await soon(told, [refused, { ...over, note: served }]);
  });

  it('what others changed, in numbers and names', async () => {
    const { kernel, told } = await start();
    kernel.objects.delete('vip 10.96.0.10');
    const note =
      "somebody else changed this node's rules (IPv4), repaired: 1 missing, 0 changed, 0 foreign: vip 10.96.0.10";
    await soon(told, [{ type: 'Warning', reason: 'DriftRepaired', note, regarding: NODE }]);
  });
});

it('a Service is told that nobody answers on its health-check port', async () => {
  const { sink, told } = await start();
  const other = await occupy('0.0.0.0');
  onTestFinished(() => vacate(other));
  const port = portOf(other);
  const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port };
  sink.put('Service', serviceObject('ns/lb', { clusterIP: '10.96.0.12', ...spec }));
  await vi.waitFor(() => expect(told).toHaveLength(1));
  expect(told[0]).toMatchObject({
    type: 'Warning',
    reason: 'FailedToStartServiceHealthcheck',
    action: 'Listen',
    regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'ns', name: 'lb' },
    related: NODE,
  });
  expect(told[0]?.note).toContain(`node node1 does not answer on health-check node port ${port}: listen EADDRINUSE`);
});

it('a balancer hears of no endpoint as long as its Service is set aside', async () => {
  const { kernel, sink } = await start();
  const [port = 0] = await freePorts(1);
  kernel.refuses = (content) => content === 'to bad';
  const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port };
  sink.put(
    'EndpointSlice',
    sliceObject('ns/bad-1', [], { endpoints: [{ addresses: ['10.200.0.8'], nodeName: 'node1' }] }),
  );
  sink.put('Service', serviceObject('ns/bad', { clusterIP: '10.96.0.11', ...spec }));
  await eventually(port, '503 0');
  kernel.refuses = () => false;
  await eventually(port, '200 1');
});

describe('a server that cannot listen', () => {
  it.each([
    ['healthzBindAddress', 'FailedToStartProxierHealthcheck', 'health', false],
    ['metricsBindAddress', 'FailedToStartMetricServer', 'metrics', true],
  ] as const)('%s is told as %s', async (setting, reason, name, bindAddressHardFail) => {
    const other = await occupy();
    onTestFinished(() => vacate(other));
    const address = `127.0.0.1:${portOf(other)}`;
    const setup = setupWith({ [setting]: address, bindAddressHardFail });
    const { told, events } = telling(setup);
    const observing = new Observing(setup, life, [], { run: async () => undefined }, events);
    await observing.start().catch(() => undefined);
    await observing.stop();
    expect(told).toEqual([
      expect.objectContaining({ type: 'Warning', reason, action: 'StartKubeProxy', regarding: NODE }),
    ]);
    expect(told[0]?.note).toContain(`the ${name} server cannot listen on ${address}: listen EADDRINUSE`);
  });
});

it('words have version, mode and numbers', () => {
  const { told, events } = telling(setupWith());
  events.starting();
  events.modeChanged('iptables', 'IPv6', 12);
  events.drifted('IPv6', { missing: ['a', 'b', 'c'], changed: ['d', 'e', 'f', 'g'], foreign: ['h'] });
  events.released('IPv4', 'ns/a:p/TCP', false);
  events.taintRemoved('a/b');
  expect(told.map(({ type, reason, note }) => `${type} ${reason}: ${note}`)).toEqual([
    expect.stringMatching(/^Normal Starting: pointsman \d+\.\d+\.\d+ starts in mode nftables$/),
    'Normal ProxyModeChanged: mode nftables serves, 12 objects that mode iptables had left were removed (IPv6)',
    "Warning DriftRepaired: somebody else changed this node's rules (IPv6), repaired: 3 missing, 4 changed, 1 foreign: a; b; c; d; e and 3 more",
    'Normal ServiceReleased: ns/a:p/TCP (IPv4), which was set aside, is not wanted any more',
    'Normal StartupTaintRemoved: rules are in place: the taint a/b was removed',
  ]);
});

describe('the counts', () => {
  it('are shown among the metrics', async () => {
    const setup = setupWith({ metricsBindAddress: '127.0.0.1:0' });
    const { events } = telling(setup);
    const observing = new Observing(setup, life, [], { run: async () => undefined }, events);
    await observing.start();
    onTestFinished(() => observing.stop());
    observing.requests.answered({ method: 'GET', host: 'api:6443', code: '200' });
    const port = Number(observing.addresses[0]?.split(':').at(-1));
    const { body } = await ask(port, { path: '/metrics' });
    expect(body).toContain('pointsman_events_total{result="written"} 7\n');
    expect(body).toContain('pointsman_events_total{result="limited"} 5\n');
    expect(body).toContain('pointsman_events_total{result="lost"} 3\n');
    expect(body).toContain('rest_client_requests_total{code="200",method="GET",host="api:6443"} 1\n');
  });

  it('are not, where the cluster is a folder and nobody is told', async () => {
    const events = await openEvents(setupWith(), undefined);
    events.starting();
    expect(events.counts).toBeUndefined();
    await events.stop();
  });
});
