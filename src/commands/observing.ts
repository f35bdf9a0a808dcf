/** Those who look on: metrics, health, and the two servers that show them. */
import { periodsOf } from '../config/config.ts';
import { toV1alpha1 } from '../config/write.ts';
import type { IPFamily } from '../model/address.ts';
import type { ObjectSink } from '../model/kubernetes.ts';
import type { Missing } from '../model/missing.ts';
import type { Tracker } from '../model/tracker.ts';
import { limitSendBuffer } from '../netlink/send-buffer.ts';
import { flagzRoute, statuszRoute } from '../observe/debug-pages.ts';
import { FamilyRecord } from '../observe/family-record.ts';
import { type Authorize, guarded } from '../observe/guard.ts';
import { HealthState } from '../observe/health.ts';
import { healthRoutes } from '../observe/health-routes.ts';
import type { Route, Routes } from '../observe/http.ts';
import type { Life } from '../observe/life.ts';
import { type Gauged, Metrics } from '../observe/metrics.ts';
import { metricsRoutes } from '../observe/metrics-routes.ts';
import { profilingRoutes } from '../observe/profiling.ts';
import { heldForClients, RouteServer } from '../observe/server.ts';
import { ListeningSink } from '../observe/sink.ts';
import { Slis } from '../observe/slis.ts';
import { trafficExposition } from '../observe/traffic/exposition.ts';
import { FamilyTraffic } from '../observe/traffic/family-traffic.ts';
import type { RequestListener } from '../sources/apiserver/request-watch.ts';
import type { ObjectSource } from '../sources/source.ts';
import { NodeEvents, type ServerName } from './events.ts';
import { restingSink } from './resting-sink.ts';
import type { Setup } from './setup.ts';
import { VERSION } from './version.ts';

/** None where no Service has traffic metrics of its own. */
const trafficOf = ({ config, log }: Setup, families: readonly IPFamily[]): ReadonlyMap<IPFamily, FamilyTraffic> => {
  const { serviceMetrics: places } = config.pointsman;
  return new Map(places === 0 ? [] : families.map((family) => [family, new FamilyTraffic({ family, places, log })]));
};

export class Observing {
  readonly health: HealthState;
  /** One for each family at work. */
  readonly records: ReadonlyMap<IPFamily, FamilyRecord>;
  readonly #setup: Setup;
  readonly #life: Life;
  readonly #source: ObjectSource;
  readonly #events: NodeEvents;
  readonly #metrics: Metrics;
  readonly #slis = new Slis();
  /** By clients of both servers together. */
  readonly #held = heldForClients();
  readonly #servers: readonly RouteServer[];
  #tracker: Tracker | undefined;
  #lacking: readonly Missing[] = [];
  #sink: ListeningSink | undefined;

  /** `authorize` asks the cluster what a bearer of a token may see; none where there is no cluster to ask. */
  constructor(
    setup: Setup,
    life: Life,
    families: readonly IPFamily[],
    source: ObjectSource,
    events = new NodeEvents(setup),
    authorize?: Authorize,
  ) {
    const { config } = setup;
    const { profile, metricsBindAddress, healthzBindAddress } = config;
    this.#setup = setup;
    this.#life = life;
    this.#source = source;
    this.#events = events;
    this.health = new HealthState(periodsOf(config).syncPeriodMs, Date.now, () => performance.now());
    const traffic = trafficOf(setup, families);
    this.#metrics = new Metrics({ profile, version: VERSION, families, gauged: () => this.#gauge() });
    const common = { metrics: this.#metrics, health: this.health, now: Date.now };
    this.records = new Map(
      families.map((family) => [family, new FamilyRecord({ family, traffic: traffic.get(family), ...common })]),
    );
    this.#servers = [
      ...this.#server(
        'metrics',
        metricsBindAddress,
        this.#guarded(this.#metricsRoutes([...traffic.values()]), authorize),
      ),
      ...this.#server('health', healthzBindAddress, this.#healthRoutes()),
    ];
  }

  /** Hears of requests to the API server. */
  get requests(): RequestListener {
    return this.#metrics;
  }

  /** Where the servers listen that do: `ip:port`. */
  get addresses(): readonly string[] {
    return this.#servers.flatMap(({ address }) => address ?? []);
  }

  /** Starts the servers. Throws where one cannot listen and the operator wants no second attempt. */
  async start(): Promise<void> {
    try {
      for (const server of this.#servers) await server.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
  }

  /** Objects and facts that the proxy goes on without. */
  missing(): readonly Missing[] {
    return [...this.#lacking, ...(this.#source.missing?.() ?? []), ...(this.#tracker?.missing() ?? [])];
  }

  /** Parts that this host lacks, until the next start. */
  lacks(lacking: readonly Missing[]): void {
    this.#lacking = lacking;
  }

  /** Sink for a source, in front of the tracker. */
  listenIn(tracker: Tracker): ObjectSink {
    this.#tracker = tracker;
    this.#sink = new ListeningSink({
      sink: restingSink(tracker),
      nodeName: this.#setup.nodeName,
      hasWork: () => [...this.records.keys()].some((family) => tracker.hasWork(family)),
      onEvents: (kind, events, pending) => this.#metrics.changed(kind, events, pending),
    });
    return this.#sink;
  }

  #server(name: ServerName, address: string, routes: Routes): readonly RouteServer[] {
    const { config, log } = this.#setup;
    if (address === '') return [];
    const onProblem = (error: string): void => this.#events.serverUnable(name, address, error);
    const { bindAddressHardFail: hardFail } = config;
    const sending = { held: this.#held };
    return [new RouteServer({ name, address, routes, hardFail, log, onProblem, sending, limitSendBuffer })];
  }

  #guarded(routes: Routes, authorize: Authorize | undefined): Routes {
    return guarded(routes, { policy: this.#setup.config.pointsman.metricsAuthorization, authorize });
  }

  #metricsRoutes(traffic: readonly FamilyTraffic[]): Routes {
    const { config, nodeName: node, flags, log } = this.#setup;
    const { mode, profile } = config;
    const pages = metricsRoutes({
      metrics: this.#metrics,
      life: this.#life,
      traffic:
        traffic.length === 0 ? undefined : { exposition: () => trafficExposition(profile.metrics.traffic, traffic) },
      slis: this.#slis,
      mode,
      configuration: toV1alpha1(config),
      status: () => ({
        version: VERSION,
        mode,
        node,
        waitingFor: this.#tracker?.waitingFor(),
        missing: this.missing(),
        families: [...this.records.values()].map((record) => record.status()),
      }),
      rules: (service) => [...this.records.values()].map((record) => record.rules(service)),
      isHeld: (body) => this.#held.has(body),
    });
    const profiling: Routes = config.enableProfiling ? profilingRoutes(log) : new Map();
    const { ComponentFlagz = true, ComponentStatusz = true } = config.featureGates;
    const flagz: readonly [string, Route][] = ComponentFlagz ? [['/flagz', flagzRoute(flags)]] : [];
    const routes: Map<string, Route> = new Map([...pages, ...profiling, ...flagz]);
    if (ComponentStatusz) {
      const { startedAt } = this.#life;
      const paths = (): readonly string[] => [...routes.keys()].flatMap((key) => key.split(' ').at(-1) ?? []);
      routes.set(
        '/statusz',
        statuszRoute({ version: VERSION, mode, startedAt, configuredAt: Date.now(), paths, now: Date.now }),
      );
    }
    return routes;
  }

  #healthRoutes(): Routes {
    return healthRoutes({
      health: this.health,
      isNodeEligible: () => this.#sink?.isNodeEligible ?? false,
      onProbe: (probe, status) => this.#metrics.probed(probe, status),
      onCheck: (probe, check, isWell) => this.#slis.checked(probe, check, isWell),
      now: Date.now,
    });
  }

  #gauge(): Gauged {
    return {
      quarantined: new Map([...this.records].map(([family, record]) => [family, record.countQuarantined()])),
      rules: new Map([...this.records].map(([family, record]) => [family, record.ruleCounts])),
      watches: this.#source.stats,
      events: this.#events.counts,
      malformed: this.#tracker?.problems.map(({ kind }) => kind) ?? [],
      skipped: this.#tracker?.skipped ?? 0,
    };
  }
}
