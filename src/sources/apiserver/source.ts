/**
 * An API server as a source: one reflector for each resource, over one connection.
 */

import { pause as realPause } from '../../dataplane/pause.ts';
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import type { Missing } from '../../model/missing.ts';
import { type Need, type Resource, resourcesFor } from '../resources.ts';
import type { Log, Source } from '../source.ts';
import { createAnnouncer } from './announcer.ts';
import type { Connection } from './connection.ts';
import { Outage } from './outage.ts';
import { Reflector, type ReflectorStats } from './reflector.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';

export interface ApiServerSourceOptions {
  readonly connection: Connection;
  readonly nodeName: string;
  /** In place of those that are a proxy's business. */
  readonly resources?: readonly Resource[] | undefined;
  readonly log: Log;
  readonly timing?: Partial<Timing>;
  readonly clock?: () => number;
  readonly random?: () => number;
  readonly pause?: typeof realPause;
}

export class ApiServerSource implements Source {
  /** Live counters for metrics. */
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
    const announcer = createAnnouncer(log, timing.sayAgainMs, clock);
    const outage = new Outage({ timing, clock, random, pause });
    log.info({ server: connection.server }, 'watching the API server');
    const own = AbortSignal.any([signal]); // node warns of a leak where many listen to one signal
    const awaited = new Set(resources.filter(({ need }) => need === 'required').map(({ kind }) => kind));
    this.#reflectors = resources.map((resource) => {
      const onSynced = (): void => {
        if (awaited.delete(resource.kind) && awaited.size === 0) void this.#goOn(timing, pause, own);
      };
      const shared = { connection, resource, sink, log, announcer, timing, outage, clock, random, pause };
      return new Reflector({ ...shared, stats: this.#stats[resource.kind], onSynced });
    });
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(own)));
  }

  /** The required resources are here: what else is not here soon is gone on without. */
  async #goOn(timing: Timing, pause: typeof realPause, signal: AbortSignal): Promise<void> {
    const give = (need: Need): void => {
      if (signal.aborted) return;
      for (const reflector of this.#reflectors) if (reflector.need === need) reflector.goOnWithout();
    };
    await pause(timing.optionalWaitMs, signal);
    give('optional');
    await pause(timing.wantedWaitMs - timing.optionalWaitMs, signal);
    give('wanted');
  }
}

const noStats = (): ReflectorStats => ({ relists: 0, watchRestarts: 0, lastEventAt: 0, lastError: '' });
