/** Whatever happens, in whatever order: the table ends as a node has it that starts now. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nftFamily } from '../../../src/backends/nftables/names.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import { ownerOf } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { draft, serviceOf } from './drafts.ts';
import { MemoryNft } from './memory-nft.ts';
import { comparable, elementsIn, freshListing, listingOf, NO_DRIFT, start } from './world.ts';

const event = fc.record({
  n: fc.nat({ max: 4 }),
  /** Undefined: it is deleted. */
  wanted: fc.option(draft, { nil: undefined, freq: 4 }),
  trouble: fc.constantFrom('none', 'none', 'lost', 'refused', 'restart', 'audit'),
});
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

const stateOf = async (kernel: MemoryNft, family: IPFamily): Promise<readonly string[]> =>
  comparable(await listingOf(kernel, nftFamily(family)));

class World {
  readonly kernel = new MemoryNft();
  readonly wanted = new Map<number, ServiceEndpoints>();
  readonly family: IPFamily;
  #life;

  constructor(family: IPFamily) {
    this.family = family;
    this.#life = start(this.kernel, family);
  }

  get services(): readonly ServiceEndpoints[] {
    return [...this.wanted.values()];
  }

  async take({ n, wanted, trouble }: Event): Promise<void> {
    const former = this.wanted.get(n);
    if (wanted === undefined) this.wanted.delete(n);
    else this.wanted.set(n, serviceOf(n, this.family, wanted));
    const now = this.wanted.get(n);
    const gone = now === undefined && former !== undefined ? [ownerOf(former.port.name)] : [];
    if (trouble === 'restart') {
      this.#life = start(this.kernel, this.family);
      await this.#life.sync(this.services);
      return;
    }
    if (trouble === 'lost') this.#failOnce({ as: 'answer', errno: ERRNO.ENOBUFS, isDone: n % 2 === 0 });
    if (trouble === 'refused') this.#failOnce({ as: 'message', errno: ERRNO.EINVAL });
    await this.#life.sync(now === undefined ? [] : [now], gone).catch(() => undefined);
    this.kernel.fault = () => undefined;
    if (trouble === 'audit') expect(await this.#life.reconciler.audit()).toEqual(NO_DRIFT);
    else if (trouble !== 'none') await this.#life.sync([]);
    expect(this.#life.refused).toEqual([]);
  }

  #failOnce(fault: ReturnType<MemoryNft['fault']>): void {
    this.kernel.fault = () => {
      this.kernel.fault = () => undefined;
      return fault;
    };
  }
}

describe.each(['IPv4', 'IPv6'] as const)('%s: whatever happens', (family) => {
  it('after each sync the table is as on a node that starts now', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 12 }), async (events) => {
        const world = new World(family);
        await world.take({ n: 0, wanted: undefined, trouble: 'none' });
        for (const one of events) {
          await world.take(one);
          expect(await stateOf(world.kernel, family)).toEqual(await freshListing(world.services, family));
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  it('the order of events does not matter', async () => {
    const many = fc.uniqueArray(fc.record({ n: fc.nat({ max: 4 }), wanted: draft }), { selector: ({ n }) => n });
    await fc.assert(
      fc.asyncProperty(many, fc.integer(), async (all, seed) => {
        const states: (readonly string[])[] = [];
        for (const order of [all, [...all].sort((a, b) => ((a.n * 7 + seed) % 5) - ((b.n * 7 + seed) % 5))]) {
          const world = new World(family);
          for (const one of order) await world.take({ ...one, trouble: 'none' });
          states.push(await stateOf(world.kernel, family));
        }
        expect(states[1]).toEqual(states[0]);
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  it('what comes and goes leaves no trace', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 5 }), draft, async (events, wanted) => {
        const world = new World(family);
        await world.take({ n: 0, wanted: undefined, trouble: 'none' });
        for (const one of events) await world.take({ ...one, n: one.n % 3, trouble: 'none' });
        const before = await stateOf(world.kernel, family);
        await world.take({ n: 4, wanted, trouble: 'none' });
        await world.take({ n: 4, wanted: undefined, trouble: 'none' });
        expect(await stateOf(world.kernel, family)).toEqual(before);
      }),
      { numRuns: 30 },
    );
  }, 60_000);
});

/** Somebody at each address of a Service that remembers, for each of its endpoints. */
const clientsOf = (
  service: ServiceEndpoints,
): readonly (readonly [address: string, port: number, endpoint: string])[] => {
  const { port, cluster } = service;
  const addresses = [port.clusterIP, ...port.externalIPs, ...port.loadBalancerVIPs].map(
    (ip) => [ip, port.port] as const,
  );
  const all = [...addresses, ...(port.nodePort === 0 ? [] : [['10.250.0.1', port.nodePort] as const])];
  return all.flatMap(([ip, number]) => cluster.map((endpoint) => [ip, number, endpoint.ip] as const));
};

it('clients of endpoints that leave are forgotten, and those of endpoints that stay are not', async () => {
  const change = fc.record({
    endpoints: draft,
    afterwards: fc.uniqueArray(fc.nat({ max: 9 }), { maxLength: 7 }),
    isRestarted: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ endpoints: wanted, afterwards, isRestarted }) => {
      const own = { ...wanted, affinitySeconds: 60, isLocalOutside: false, isLocalInside: false };
      const before = serviceOf(1, 'IPv4', own);
      const after = serviceOf(1, 'IPv4', { ...own, endpoints: afterwards });
      const kernel = new MemoryNft();
      const life = start(kernel);
      await life.sync([before]);
      for (const [ip, port, endpoint] of clientsOf(before)) {
        const val = { concat: [`192.0.2.${endpoint.split('.')[3]}`, ip, 'tcp', port] };
        kernel.run([
          {
            add: {
              element: {
                family: 'ip',
                table: 'kube-proxy',
                name: 'affinity',
                elem: [[{ elem: { val, timeout: 60 } }, { concat: [endpoint, 8080] }]],
              },
            },
          },
        ]);
      }
      await (isRestarted ? start(kernel) : life).sync([after]);
      const stays = new Set(after.cluster.map(({ ip }) => ip));
      const left = (await elementsIn(kernel, ['affinity'])).map((line) => /: (\S+) \. 8080/.exec(line)?.[1] ?? '');
      const expected = clientsOf(before).flatMap(([, , endpoint]) => (stays.has(endpoint) ? [endpoint] : []));
      expect([...left].sort()).toEqual([...expected].sort());
    }),
    { numRuns: 60 },
  );
}, 30_000);
