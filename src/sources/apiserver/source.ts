/** API server as a source: one reflector for each resource, over one connection. */
import { pause as realPause } from '../../dataplane/pause.ts';
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import type { Missing } from '../../model/missing.ts';
import { type Requirement, type Resource, resourcesFor } from '../resources.ts';
import type { Log, ObjectSource } from '../source.ts';
import type { ApiConnection } from './connection.ts';
import { Outage } from './outage.ts';
import { createRateLimitedLog } from './rate-limited-log.ts';
import { Reflector, type ReflectorStats } from './reflector.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';

export interface ApiServerSourceOptions {
  readonly connection: ApiConnection;
  readonly nodeName: string;
  /** Resources to watch, instead of the proxy's. */
  readonly resources?: readonly Resource[] | undefined;
  readonly log: Log;
  readonly timing?: Partial<Timing>;
  readonly clock?: () => number;
  readonly random?: () => number;
  readonly pause?: typeof realPause;
}

export class ApiServerSource implements ObjectSource {
  /** Live counters, for metrics. */
  readonly stats: Readonly<Record<ObjectKind, Readonly<ReflectorStats>>>;
  readonly #stats: Readonly<Record<ObjectKind, ReflectorStats>>;
  readonly #options: ApiServerSourceOptions;
  #reflectors: readonly Reflector[] = [];

  constructor(options: ApiServerSourceOptions) {
    this.#options = options;
    this.#stats = { Service: noStats(), EndpointSlice: noStats(), Node: noStats(), ServiceCIDR: noStats() };
    this.stats = this.#stats;
  }

  missing(): readonly Missing[] {
    return this.#reflectors.flatMap(({ kind, missing }) =>
      missing === undefined ? [] : { what: `${kind}s`, ...missing },
    );
  }

  async run(sink: ObjectSink, signal: AbortSignal): Promise<void> {
    const { connection, nodeName, log, random = Math.random, pause = realPause } = this.#options;
    const { resources = resourcesFor(nodeName), clock = () => performance.now() } = this.#options;
    const timing: Timing = { ...DEFAULT_TIMING, ...this.#options.timing };
    const limitedLog = createRateLimitedLog(log, timing.repeatLogMs, clock);
    const outage = new Outage({ timing, clock, random, pause });
    log.info({ server: connection.server }, 'watching the API server');
    const own = AbortSignal.any([signal]); // Node.js warns of a leak when one signal has many listeners
    const awaited = new Set(resources.filter(({ need }) => need === 'required').map(({ kind }) => kind));
    this.#reflectors = resources.map((resource) => {
      const onSynced = (): void => {
        if (awaited.delete(resource.kind) && awaited.size === 0) void this.#waitForOptional(timing, pause, own);
      };
      const shared = { connection, resource, sink, log, limitedLog, timing, outage, clock, random, pause };
      return new Reflector({ ...shared, stats: this.#stats[resource.kind], onSynced });
    });
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(own)));
  }

  /** After the required resources are listed: waits for the others for a bounded time, then presents them as empty. */
  async #waitForOptional(timing: Timing, pause: typeof realPause, signal: AbortSignal): Promise<void> {
    const give = (need: Requirement): void => {
      if (signal.aborted) return;
      for (const reflector of this.#reflectors) if (reflector.need === need) reflector.presentEmpty();
    };
    await pause(timing.optionalWaitMs, signal);
    give('optional');
    await pause(timing.wantedWaitMs - timing.optionalWaitMs, signal);
    give('wanted');
  }
}

const noStats = (): ReflectorStats => ({ relists: 0, watchRestarts: 0, lastEventAt: 0, lastError: '' });
