/** The wiring: objects in, a kernel in memory, and what the two servers say of it. */
import pino from 'pino';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { NodeEvents } from '../../src/commands/events.ts';
import { type FamilyAtWork, startFamily } from '../../src/commands/family.ts';
import { Observing } from '../../src/commands/observing.ts';
import type { Setup } from '../../src/commands/setup.ts';
import type { Config } from '../../src/config/config.ts';
import { KernelError } from '../../src/dataplane/contract.ts';
import { OBJECT_KINDS, type ObjectKind, type ObjectSink } from '../../src/model/kubernetes.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { Life } from '../../src/observe/life.ts';
import { Progress } from '../../src/observe/progress.ts';
import type { ObjectSource } from '../../src/sources/source.ts';
import { loadLine } from '../config/loading.ts';
import { FakeKernel } from '../dataplane/fake-backend.ts';
import { NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from '../model/objects.ts';
import { ask, occupy, portOf, type Reply, vacate } from '../observe/health-clients.ts';

const FAMILIES = ['IPv4'] as const;
const OBJECTS: Readonly<Record<ObjectKind, readonly unknown[]>> = {
  Service: [serviceObject('ns/web')],
  EndpointSlice: [sliceObject('ns/web-1', ['10.200.0.7'])],
  Node: [nodeObject()],
  ServiceCIDR: [],
};
const stats = (lastEventAt: number) => ({ relists: 1, watchRestarts: 0, lastEventAt });
const SOURCE: ObjectSource = {
  run: async () => undefined,
  stats: { Service: stats(1), EndpointSlice: stats(1), Node: stats(1), ServiceCIDR: stats(0) },
};

let config: Config;
beforeEach(async () => {
  config = (await loadLine(['--proxy-mode=nftables'])).config;
});

const life = new Life();

const setupWith = (changed: Partial<Config>): Setup => ({
  config: { ...config, ...changed },
  warnings: [],
  flags: [{ name: 'v', value: '3' }],
  nodeName: 'node1',
  log: pino({ level: 'silent' }),
});

interface Bench {
  readonly kernel: FakeKernel;
  readonly sink: ObjectSink;
  readonly metrics: (path: string) => Promise<Reply>;
  readonly health: (path: string) => Promise<Reply>;
  /** A line of the exposition that begins so. */
  readonly series: (name: string) => Promise<string | undefined>;
}

const start = async (): Promise<Bench> => {
  const setup = setupWith({ metricsBindAddress: '127.0.0.1:0', healthzBindAddress: '127.0.0.1:0' });
  const observing = new Observing(setup, life, FAMILIES, SOURCE);
  await observing.start();
  const kernel = new FakeKernel();
  const stop = new AbortController();
  const atWork: FamilyAtWork[] = [];
  const tracker = new Tracker({
    node: NODE_OPTIONS,
    families: FAMILIES,
    onChange: () => {
      for (const family of atWork) family.request();
    },
  });
  const { health, records } = observing;
  for (const [family, record] of records) {
    const progress = new Progress([family], setup.log);
    const parts = {
      family,
      backend: kernel as never,
      tracker,
      progress,
      record,
      health,
      interfaceAddresses: () => [],
      events: new NodeEvents(setup),
      onFirstSync: () => undefined,
    };
    atWork.push(startFamily(setup, parts, stop.signal));
  }
  onTestFinished(async () => {
    stop.abort();
    await Promise.all([...atWork, observing].map((part) => part.stop()));
  });
  const ports = observing.addresses.map((address) => Number(address.split(':').at(-1)));
  const asker = (i: number) => (path: string) => ask(ports[i] ?? 0, { path });
  const [metrics, healthOf] = [asker(0), asker(1)];
  const series = async (name: string): Promise<string | undefined> =>
    (await metrics('/metrics')).body.split('\n').find((line) => line.startsWith(name));
  return { kernel, sink: observing.listenIn(tracker), metrics, health: healthOf, series };
};

const synced = async (): Promise<Bench> => {
  const bench = await start();
  for (const kind of OBJECT_KINDS) await bench.sink.replace(kind, OBJECTS[kind]);
  await vi.waitFor(() => expect(bench.kernel.objects.size).toBe(3));
  return bench;
};

it('what this host lacks is missing', async () => {
  const observing = new Observing(
    setupWith({ metricsBindAddress: '', healthzBindAddress: '' }),
    life,
    FAMILIES,
    SOURCE,
  );
  const lacking = [{ what: 'IP family IPv6', why: 'no module ip6_tables' }];
  observing.lacks(lacking);
  expect(observing.missing()).toEqual(lacking);
});

describe('the metrics server', () => {
  it('shows a sync, what led to it and what it wrote', async () => {
    const { series, metrics } = await synced();
    expect((await metrics('/metrics')).headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    const count = 'kubeproxy_sync_proxy_rules_duration_seconds_count';
    expect(await series(count)).toBe(`${count}{ip_family="IPv4"} 1`);
    expect(await series('kubeproxy_sync_proxy_rules_service_changes_total')).toMatch(/ 1$/);
    expect(await series('kubeproxy_sync_proxy_rules_service_changes_pending')).toMatch(/ 0$/);
    expect(await series('kubeproxy_sync_proxy_rules_endpoint_changes_total')).toMatch(/ 1$/);
    expect(await series('kubeproxy_sync_proxy_rules_last_timestamp_seconds')).toMatch(/ \d{10}/);
    expect(await series('pointsman_objects_written_total{ip_family="IPv4",op="add"}')).toMatch(/ 3$/);
    expect(await series('pointsman_watch_relists_total{kind="Service"}')).toMatch(/ 1$/);
  });

  it('shows who is refused, as long as they are', async () => {
    const { kernel, sink, series, metrics } = await synced();
    kernel.refuses = (content) => content === 'to bad';
    sink.put('Service', serviceObject('ns/bad', { clusterIP: '10.96.0.11' }));
    const gauge = 'pointsman_quarantined_owners';
    await vi.waitFor(async () => expect(await series(gauge)).toBe(`${gauge}{ip_family="IPv4"} 1`));
    const page = await metrics('/status?format=text&state=Quarantined');
    expect(page.body).toMatch(/ns\/bad:p\/TCP +Quarantined .* refused: vip 10\.96\.0\.11\n/);
    sink.remove('Service', serviceObject('ns/bad'));
    await vi.waitFor(async () => expect(await series(gauge)).toBe(`${gauge}{ip_family="IPv4"} 0`));
  });

  it('shows what others had changed', async () => {
    config = { ...config, nftables: { ...config.nftables, syncPeriodMs: 50 } };
    const { kernel, series, metrics } = await synced();
    kernel.objects.delete('vip 10.96.0.10');
    const drift = 'pointsman_drift_objects_total{ip_family="IPv4",kind="missing"}';
    await vi.waitFor(async () => expect(await series(drift)).toBe(`${drift} 1`));
    expect((await metrics('/status?format=text')).body).toContain('drift repaired: 1 missing, 0 changed, 0 foreign');
  });

  it('shows what is programmed for one Service, to who asks from this node', async () => {
    const { metrics } = await synced();
    const { status, body } = await metrics('/rules?service=ns/web');
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({
      service: 'ns/web',
      families: {
        IPv4: [
          {
            owner: 'ns/web:p/TCP',
            state: 'Done',
            objects: [
              { id: 'vip 10.96.0.10', isApplied: true, wanted: 'vip 10.96.0.10: to web' },
              { id: 'endpoint web 10.200.0.7', isApplied: true },
            ],
          },
        ],
      },
    });
    expect((await metrics('/rules?service=ns/web&format=text')).body).toMatch(/^IPv4 ns\/web:p\/TCP: Done, since 2/);
    expect((await metrics('/rules?service=ns/other')).status).toBe(404);
    expect((await metrics('/rules')).status).toBe(400);
  });

  it('shows traffic of as many Services as are asked for, read when it is looked at, and answers where it cannot be', async () => {
    config = { ...config, pointsman: { ...config.pointsman, serviceMetrics: 1 } };
    const bench = await synced();
    const { kernel, sink, series, metrics } = bench;
    sink.put('Service', serviceObject('ns/later', { clusterIP: '10.96.0.12' }));
    const name = 'pointsman_service_connections_total';
    const omitted = 'pointsman_service_traffic_omitted';
    await vi.waitFor(async () => expect(await series(omitted)).toBe(`${omitted}{ip_family="IPv4"} 1`));
    kernel.connections = 7;
    await vi.waitFor(
      async () => expect(await series(`${name}{`)).toMatch(/namespace="ns",service="web",.*} 7$/),
      5_000,
    );
    kernel.connections = 'no such table';
    const readings = kernel.trafficReads;
    await vi.waitFor(async () => {
      const answer = await metrics('/metrics');
      expect(answer.status).toBe(200);
      expect(answer.body).toMatch(/pointsman_service_connections_total\{.*service="web".*} 7\n/);
      expect(kernel.trafficReads).toBeGreaterThan(readings);
    }, 5_000);
    expect((await metrics('/metrics')).body).not.toContain('service="later"');
  });

  it('shows no traffic unless it is asked for, and does not read it', async () => {
    const { kernel, metrics } = await synced();
    expect((await metrics('/metrics')).body).not.toContain('pointsman_service_');
    expect(kernel.trafficReads).toBe(0);
  });

  it("has kube-proxy's other pages", async () => {
    const { metrics } = await start();
    expect(await metrics('/healthz')).toMatchObject({ status: 200, body: 'ok' });
    const mode = await metrics('/proxyMode');
    expect(mode).toMatchObject({ status: 200, body: 'nftables' });
    expect(mode.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    const configz = await metrics('/configz');
    expect(configz.headers['content-type']).toBe('application/json');
    expect(JSON.parse(configz.body)).toMatchObject({
      'kubeproxy.config.k8s.io': {
        apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
        kind: 'KubeProxyConfiguration',
        mode: 'nftables',
        nftables: { syncPeriod: '30s' },
      },
    });
  });

  it('has pages for people, and profiles only where they are asked for', async () => {
    const { metrics, health } = await start();
    expect((await metrics('/flagz')).body).toContain('\nv=3\n');
    expect((await metrics('/statusz')).body).toContain('Proxy mode: nftables\nPaths: /configz /flagz /healthz ');
    expect((await metrics('/debug/pprof')).status).toBe(404);
    await health('/livez');
    expect((await metrics('/metrics/slis')).body).toContain('kubernetes_healthcheck{name="sync-ipv4",type="livez"} 1');
    config = { ...config, enableProfiling: true, featureGates: { ComponentFlagz: false, ComponentStatusz: false } };
    const other = await start();
    expect((await other.metrics('/debug/pprof')).status).toBe(200);
    expect((await other.metrics('/flagz')).status).toBe(404);
    expect((await other.metrics('/statusz')).status).toBe(404);
  });

  it('says what is waited for, and later how all owners stand', async () => {
    const { sink, metrics } = await start();
    const page = async () => JSON.parse((await metrics('/status')).body);
    expect(await page()).toMatchObject({ node: 'node1', mode: 'nftables', waitingFor: expect.any(String) });
    for (const kind of OBJECT_KINDS) await sink.replace(kind, OBJECTS[kind]);
    await vi.waitFor(async () => {
      const { waitingFor, families } = await page();
      expect(waitingFor).toBeUndefined();
      expect(families.IPv4).toMatchObject({ healthy: true, states: { Done: 2 }, lastSync: { full: true } });
    });
  });
});

describe('the health server', () => {
  it('is well, and eligible once the Node is known', async () => {
    const { sink, health, series } = await start();
    expect((await health('/livez')).status).toBe(200);
    expect((await health('/healthz')).status).toBe(503);
    await sink.replace('Node', OBJECTS.Node);
    const { status, body } = await health('/healthz');
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ nodeEligible: true, healthy: true, status: { IPv4: { healthy: true } } });
    expect(await series('kubeproxy_proxy_healthz_total{code="503"}')).toMatch(/ 1$/);
  });

  it('is not well when syncs have failed for two periods, until one succeeds', async () => {
    config = { ...config, nftables: { ...config.nftables, syncPeriodMs: 100 } };
    const { kernel, sink, health, series, metrics } = await synced();
    const disturb = (): void => {
      throw new KernelError('environment', 'somebody holds the lock');
    };
    kernel.disturb = disturb;
    sink.put('EndpointSlice', sliceObject('ns/web-1', ['10.200.0.8']));
    await vi.waitFor(async () => expect((await health('/livez')).status).toBe(503));
    expect((await metrics('/status?format=text')).body).toContain('  failing: somebody holds the lock');
    expect(await series('pointsman_failures_total{ip_family="IPv4",work="sync"}')).not.toMatch(/ 0$/);
    kernel.disturb = () => undefined;
    await vi.waitFor(async () => expect((await health('/livez')).status).toBe(200));
  });
});

describe('an address', () => {
  it('that is empty is no server', async () => {
    const observing = new Observing(
      setupWith({ metricsBindAddress: '', healthzBindAddress: '' }),
      life,
      FAMILIES,
      SOURCE,
    );
    await observing.start();
    expect(observing.addresses).toEqual([]);
    await observing.stop();
  });

  it('that is taken ends it all where the operator wants that, and leaves no server', async () => {
    const other = await occupy();
    onTestFinished(() => vacate(other));
    const healthzBindAddress = `127.0.0.1:${portOf(other)}`;
    const addresses = { metricsBindAddress: '127.0.0.1:0', healthzBindAddress };
    const observing = new Observing(setupWith({ ...addresses, bindAddressHardFail: true }), life, FAMILIES, SOURCE);
    await expect(observing.start()).rejects.toThrow(`the health server cannot listen on ${healthzBindAddress}`);
    expect(observing.addresses).toEqual([]);
    const patient = new Observing(setupWith(addresses), life, FAMILIES, SOURCE);
    await patient.start();
    expect(patient.addresses).toHaveLength(1);
    await patient.stop();
  });
});
