/** Laws of the tracker: any interleaving of events, of both families, with work taken at any time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IP_FAMILIES } from '../../src/model/address.ts';
import { ownerOf } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import type { Tracker } from '../../src/model/tracker.ts';
import { type Follower, follow, type Known } from './follower.ts';
import { type Fields, nodeObject, serviceObject, sliceObject, triggered, ZONE_LABEL } from './objects.ts';

type Kind = 'Service' | 'EndpointSlice';

type Event =
  | { readonly op: 'put'; readonly kind: Kind | 'Node'; readonly object: Fields }
  | { readonly op: 'remove'; readonly kind: Kind; readonly object: Fields }
  /** A new list of a kind, as after a broken watch: what is there, in another order. */
  | { readonly op: 'relist'; readonly kind: Kind }
  | { readonly op: 'take'; readonly family: 'IPv4' | 'IPv6' };

const NAMES = ['ns/a', 'ns/b', 'default/kubernetes'];

const service = fc
  .record({
    name: fc.constantFrom('ns/a', 'ns/a', ...NAMES),
    ports: fc.subarray(['p', 'q'], { minLength: 1 }),
    clusterIPs: fc.constantFrom(
      ['10.96.0.1'],
      ['10.96.0.1', 'fd96::1'],
      ['10.96.0.1', 'fd96::1'],
      ['fd96::1'],
      ['None'],
    ),
    type: fc.constantFrom('ClusterIP', 'NodePort', 'ExternalName'),
    internalTrafficPolicy: fc.constantFrom('Local', 'Cluster'),
    externalTrafficPolicy: fc.constantFrom('Local', 'Cluster'),
  })
  .map(({ name, ports, clusterIPs, ...spec }) =>
    serviceObject(name, {
      ...spec,
      clusterIP: clusterIPs[0],
      clusterIPs,
      ports: ports.map((port, i) => ({
        name: port,
        port: 80 + i,
        ...(spec.type === 'NodePort' ? { nodePort: 30_080 + i } : {}),
      })),
    }),
  );

const condition = fc.record({ ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() });
const oneEndpoint = fc.record({
  last: fc.constantFrom(1, 2, 11),
  nodeName: fc.constantFrom('node1', 'node2'),
  conditions: fc.oneof(fc.constant({}), condition),
  hints: fc.constantFrom({}, { forZones: [{ name: 'za' }] }, { forZones: [{ name: 'zb' }] }),
});

const slice = fc
  .record({
    // mostly one Service's, so that events meet
    name: fc.constantFrom('ns/a-1', 'ns/a-1', 'ns/a-1', 'ns/a-2', 'ns/b-1', 'default/kubernetes-1', 'ns/unknown-1'),
    addressType: fc.constantFrom('IPv4', 'IPv4', 'IPv6', 'FQDN'),
    ports: fc.uniqueArray(fc.record({ name: fc.constantFrom('p', 'q'), port: fc.constantFrom(8080, 8081) }), {
      selector: ({ name }) => name,
    }),
    endpoints: fc.uniqueArray(oneEndpoint, { selector: ({ last }) => last }),
    at: fc.option(fc.nat(1_000), { nil: undefined }),
  })
  .map(({ name, addressType, ports, endpoints, at }) => {
    const object = sliceObject(name, [], {
      addressType,
      ports,
      endpoints: endpoints.map(({ last, ...rest }) => ({
        addresses: [addressType === 'IPv6' ? `fd20::${last}` : `10.200.0.${last}`],
        ...rest,
      })),
    });
    return at === undefined ? object : triggered(object, at);
  });

const unreadable = fc.constantFrom(...NAMES).map((name) => serviceObject(name, { ports: 'none' }));
const node = fc
  .constantFrom('za', 'zb', '')
  .map((zone) => nodeObject({ metadata: { name: 'node1', labels: { [ZONE_LABEL]: zone } } }));

const put = (kind: Kind | 'Node', object: Fields): Event => ({ op: 'put', kind, object });
const remove = (kind: Kind, object: Fields): Event => ({ op: 'remove', kind, object });
const kinds = fc.constantFrom<Kind>('Service', 'EndpointSlice');

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: service.map((object) => put('Service', object)) },
  { weight: 6, arbitrary: slice.map((object) => put('EndpointSlice', object)) },
  { weight: 1, arbitrary: unreadable.map((object) => put('Service', object)) },
  { weight: 1, arbitrary: node.map((object) => put('Node', object)) },
  { weight: 2, arbitrary: service.map((object) => remove('Service', object)) },
  { weight: 2, arbitrary: slice.map((object) => remove('EndpointSlice', object)) },
  { weight: 1, arbitrary: kinds.map((kind): Event => ({ op: 'relist', kind })) },
  { weight: 4, arbitrary: fc.constantFrom(...IP_FAMILIES).map((family): Event => ({ op: 'take', family })) },
);

const keyOf = ({ metadata }: Fields): string => {
  const { namespace, name } = metadata as { readonly namespace: string; readonly name: string };
  return `${namespace}/${name}`;
};

const isAbout = (one: Event, owner: string): boolean =>
  one.op !== 'take' && one.op !== 'relist' && owner.startsWith(`${keyOf(one.object).replace(/-1$|-2$/, '')}:`);

/** The objects that there are after some events: what an API server would list. */
class Cluster {
  readonly Service = new Map<string, Fields>();
  readonly EndpointSlice = new Map<string, Fields>();
  node = nodeObject();

  apply(one: Event): void {
    if (one.op === 'put' && one.kind === 'Node') this.node = one.object;
    // an object that cannot be read leaves what was known
    else if (one.op === 'put' && one.kind !== 'Node' && (one.object.spec as Fields | undefined)?.ports !== 'none')
      this[one.kind].set(keyOf(one.object), one.object);
    else if (one.op === 'remove') this[one.kind].delete(keyOf(one.object));
  }

  list(kind: Kind): readonly Fields[] {
    return [...this[kind].values()].reverse();
  }
}

const tell = (tracker: Tracker, one: Event, cluster: Cluster): void => {
  if (one.op === 'put') tracker.put(one.kind, one.object);
  else if (one.op === 'remove') tracker.remove(one.kind, one.object);
  else if (one.op === 'relist') tracker.replace(one.kind, cluster.list(one.kind));
};

/** Without the times: those say what happened, not what is. */
const plain = (known: Known): readonly ServiceEndpoints[] =>
  [...known].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => ({ ...one, triggeredAt: [] }));

const both = (follower: Follower): readonly (readonly ServiceEndpoints[])[] => {
  follower.takeAll();
  return IP_FAMILIES.map((family) => plain(follower.known(family)));
};

/** What a tracker says that starts with everything there. */
const fresh = (cluster: Cluster): readonly (readonly ServiceEndpoints[])[] => {
  const lists = { Service: cluster.list('Service'), EndpointSlice: cluster.list('EndpointSlice') };
  return both(follow({ ...lists, Node: [cluster.node] }));
};

const events = fc.array(event, { maxLength: 60, size: 'max' });

describe('any interleaving of events', () => {
  it('ends in what a fresh tracker says, whenever work was taken between', () => {
    fc.assert(
      fc.property(events, (all) => {
        const follower = follow();
        const cluster = new Cluster();
        for (const one of all) {
          cluster.apply(one);
          if (one.op === 'take') follower.take(one.family);
          else tell(follower.tracker, one, cluster);
        }
        expect(both(follower)).toEqual(fresh(cluster));
      }),
      { numRuns: 500 },
    );
  });

  it('makes work for whatever changed, and for nothing else that was there before', () => {
    fc.assert(
      fc.property(events, (all) => {
        const follower = follow();
        const cluster = new Cluster();
        follower.takeAll();
        let before = fresh(cluster);
        for (const one of all) {
          if (one.op === 'take') continue;
          cluster.apply(one);
          tell(follower.tracker, one, cluster);
          const after = fresh(cluster);
          IP_FAMILIES.forEach((family, i) => {
            const isSame = isEqual(before[i], after[i]);
            const isSeen = follower.tracker.hasWork(family);
            if (!isSame) expect(isSeen, `${family}: ${JSON.stringify(one)}`).toBe(true);
            const { services, gone, nodeChanged } = follower.take(family);
            expect(plain(follower.known(family))).toEqual(after[i]);
            // one Service's event is no other's business; the API server's Service is the first of all
            const names = [...services.map(({ port }) => ownerOf(port.name)), ...gone];
            const others = names.filter((owner) => !isAbout(one, owner) && !owner.startsWith('default/kubernetes:'));
            if (!nodeChanged && one.op !== 'relist') expect(others).toEqual([]);
          });
          before = after;
        }
      }),
      { numRuns: 100 },
    );
  });

  it('told twice makes no work the second time', () => {
    fc.assert(
      fc.property(events, (all) => {
        const follower = follow();
        const cluster = new Cluster();
        for (const one of all) {
          cluster.apply(one);
          tell(follower.tracker, one, cluster);
        }
        follower.takeAll();
        tell(follower.tracker, { op: 'relist', kind: 'Service' }, cluster);
        tell(follower.tracker, { op: 'relist', kind: 'EndpointSlice' }, cluster);
        tell(follower.tracker, put('Node', cluster.node), cluster);
        expect(IP_FAMILIES.map((family) => follower.tracker.hasWork(family))).toEqual([false, false]);
      }),
      { numRuns: 200 },
    );
  });

  it('leaves nothing once everything is removed', () => {
    fc.assert(
      fc.property(events, (all) => {
        const follower = follow();
        const cluster = new Cluster();
        for (const one of all) {
          cluster.apply(one);
          tell(follower.tracker, one, cluster);
        }
        for (const kind of ['EndpointSlice', 'Service'] as const) {
          for (const object of cluster.list(kind)) follower.tracker.remove(kind, object);
        }
        follower.takeAll();
        expect([follower.known('IPv4').size, follower.known('IPv6').size]).toEqual([0, 0]);
        expect(follower.tracker.serviceCount).toBe(0);
        // no slice is remembered either: the Services come back without endpoints
        for (const name of NAMES) follower.tracker.put('Service', serviceObject(name));
        expect(follower.take().services.map(({ reachable, hasAny }) => [reachable, hasAny])).toEqual(
          NAMES.map(() => [[], false]),
        );
      }),
      { numRuns: 200 },
    );
  });
});

const isEqual = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
