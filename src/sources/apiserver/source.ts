/**
 * An API server as a source: one reflector for each resource, over one connection.
 */
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import { type Resource, resourcesFor } from '../resources.ts';
import type { Log, Source } from '../source.ts';
import { createAnnouncer } from './announcer.ts';
import type { Connection } from './connection.ts';
import { Reflector, type ReflectorStats } from './reflector.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';

export interface ApiServerSourceOptions {
  readonly connection: Connection;
  readonly nodeName: string;
  /** In place of those that are a proxy's business. */
  readonly resources?: readonly Resource[] | undefined;
  readonly log: Log;
  readonly timing?: Partial<Timing>;
  readonly now?: () => number;
  readonly random?: () => number;
}

export class ApiServerSource implements Source {
  /** Live counters for metrics. */
  readonly stats: Readonly<Record<ObjectKind, Readonly<ReflectorStats>>>;
  readonly #stats: Readonly<Record<ObjectKind, ReflectorStats>>;
  readonly #options: ApiServerSourceOptions;

  constructor(options: ApiServerSourceOptions) {
    this.#options = options;
    this.#stats = { Service: noStats(), EndpointSlice: noStats(), Node: noStats(), ServiceCIDR: noStats() };
    this.stats = this.#stats;
  }

  async run(sink: ObjectSink, signal: AbortSignal): Promise<void> {
    const { connection, nodeName, log, now = Date.now, random = Math.random } = this.#options;
    const { resources = resourcesFor(nodeName) } = this.#options;
    const timing: Timing = { ...DEFAULT_TIMING, ...this.#options.timing };
    const announcer = createAnnouncer(log, timing.sayAgainMs, now);
    log.info({ server: connection.server }, 'watching the API server');
    const reflectors = resources.map(
      (resource) =>
        new Reflector({
          connection,
          resource,
          sink,
          log,
          announcer,
          timing,
          now,
          random,
          stats: this.#stats[resource.kind],
        }),
    );
    const own = AbortSignal.any([signal]); // node warns of a leak where many listen to one signal
    await Promise.all(reflectors.map((reflector) => reflector.run(own)));
  }
}

const noStats = (): ReflectorStats => ({ relists: 0, watchRestarts: 0, lastEventAt: 0, lastError: '' });
