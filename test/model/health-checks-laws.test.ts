/** Laws of health checks: any order of events, any moments of syncs and any failures end in the same list. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { type HealthCheck, PendingHealthChecks } from '../../src/model/health-checks.ts';
import type { Tracker } from '../../src/model/tracker.ts';
import { type Follower, follow } from './follower.ts';
import { type Fields, serviceObject, sliceObject } from './objects.ts';

type Kind = 'Service' | 'EndpointSlice';
type Event =
  | { readonly op: 'put' | 'remove'; readonly kind: Kind; readonly object: Fields }
  /** Work is taken; only if the write succeeds is it told. */
  | { readonly op: 'sync'; readonly family: IPFamily; readonly succeeds: boolean };

const NAMES = ['ns/a', 'ns/b', 'other/a'];

const service: fc.Arbitrary<Fields> = fc
  .record({
    name: fc.constantFrom('ns/a', ...NAMES),
    type: fc.constantFrom('LoadBalancer', 'LoadBalancer', 'LoadBalancer', 'NodePort'),
    externalTrafficPolicy: fc.constantFrom('Local', 'Local', 'Local', 'Cluster'),
    healthCheckNodePort: fc.constantFrom(30_000, 30_000, 30_001, 0),
    clusterIPs: fc.constantFrom(['10.96.0.1'], ['10.96.0.1', 'fd96::1'], ['fd96::1']),
    ports: fc.subarray(['p', 'q'], { minLength: 1 }),
  })
  .map(({ name, ports, ...spec }) =>
    serviceObject(name, {
      ...spec,
      clusterIP: spec.clusterIPs[0],
      ports: ports.map((port, i) => ({ name: port, port: 80 + i })),
    }),
  );

const conditions = fc.constantFrom(
  {},
  {},
  { ready: false, serving: true, terminating: true },
  { ready: false, serving: false, terminating: false },
);
const endpoint = fc.record({ last: fc.integer({ min: 1, max: 4 }), on: fc.constantFrom('node1', 'node2'), conditions });

const slice: fc.Arbitrary<Fields> = fc
  .record({
    name: fc.constantFrom('ns/a-1', 'ns/a-1', 'ns/a-2', 'ns/b-1', 'other/a-1', 'ns/unknown-1'),
    addressType: fc.constantFrom('IPv4', 'IPv4', 'IPv6'),
    ports: fc.subarray(['p', 'q']),
    endpoints: fc.uniqueArray(endpoint, { selector: ({ last }) => last }),
  })
  .map(({ name, addressType, ports, endpoints }) =>
    sliceObject(name, [], {
      addressType,
      ports: ports.map((port, i) => ({ name: port, port: 8080 + i })),
      endpoints: endpoints.map(({ last, on, ...rest }) => ({
        addresses: [addressType === 'IPv6' ? `fd20::${last}` : `10.200.0.${last}`],
        nodeName: on,
        ...rest,
      })),
    }),
  );

const put =
  (kind: Kind) =>
  (object: Fields): Event => ({ op: 'put', kind, object });
const remove =
  (kind: Kind) =>
  (object: Fields): Event => ({ op: 'remove', kind, object });

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: service.map(put('Service')) },
  { weight: 6, arbitrary: slice.map(put('EndpointSlice')) },
  { weight: 2, arbitrary: service.map(remove('Service')) },
  { weight: 2, arbitrary: slice.map(remove('EndpointSlice')) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('sync' as const),
      family: fc.constantFrom(...IP_FAMILIES),
      succeeds: fc.boolean(),
    }),
  },
);

const keyOf = ({ metadata }: Fields): string => {
  const { namespace, name } = metadata as { readonly namespace: string; readonly name: string };
  return `${namespace}/${name}`;
};

const list = (tracker: Tracker, family: IPFamily): readonly HealthCheck[] =>
  NAMES.flatMap((name) => tracker.healthCheck(name, family) ?? []);

/** What those who answer have heard. */
class Hearer {
  readonly #known = new Map<string, HealthCheck>();
  readonly #news: PendingHealthChecks;
  readonly #take: () => void;

  constructor(follower: Follower, family: IPFamily) {
    this.#news = new PendingHealthChecks((name) => follower.tracker.healthCheck(name, family));
    this.#take = () => this.#news.note(follower.take(family));
  }

  sync(succeeds: boolean): void {
    this.#take();
    if (!succeeds) return;
    for (const [name, check] of this.#news.take().changes) {
      if (check === undefined) this.#known.delete(name);
      else this.#known.set(name, check);
    }
  }

  list(): readonly HealthCheck[] {
    return NAMES.flatMap((name) => this.#known.get(name) ?? []);
  }

  get size(): number {
    return this.#known.size;
  }
}

const events = fc.array(event, { maxLength: 60, size: 'max' });

describe('any interleaving of events and syncs', () => {
  it('tells what a tracker says that starts with everything there', () => {
    fc.assert(
      fc.property(events, (all) => {
        const follower = follow();
        const hearers = { IPv4: new Hearer(follower, 'IPv4'), IPv6: new Hearer(follower, 'IPv6') };
        const there = { Service: new Map<string, Fields>(), EndpointSlice: new Map<string, Fields>() };
        for (const one of all) {
          if (one.op === 'sync') hearers[one.family].sync(one.succeeds);
          else follower.tracker[one.op](one.kind, one.object);
          if (one.op === 'put') there[one.kind].set(keyOf(one.object), one.object);
          if (one.op === 'remove') there[one.kind].delete(keyOf(one.object));
        }
        const fresh = follow({
          Service: [...there.Service.values()].reverse(),
          EndpointSlice: [...there.EndpointSlice.values()].reverse(),
        });
        for (const family of IP_FAMILIES) {
          hearers[family].sync(true);
          expect(hearers[family].list()).toEqual(list(fresh.tracker, family));
          expect(hearers[family].size).toBe(hearers[family].list().length);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('tells, after each sync that succeeds, what is there at that moment', () => {
    fc.assert(
      fc.property(events, (all) => {
        const follower = follow();
        const hearer = new Hearer(follower, 'IPv4');
        for (const one of all) {
          if (one.op !== 'sync') {
            follower.tracker[one.op](one.kind, one.object);
            continue;
          }
          const before = hearer.list();
          hearer.sync(one.succeeds);
          expect(hearer.list()).toEqual(one.succeeds ? list(follower.tracker, 'IPv4') : before);
        }
      }),
      { numRuns: 200 },
    );
  });
});
