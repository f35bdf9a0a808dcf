/** Whoever is remembered, and whatever becomes of the Service: nobody is led where he would not be led otherwise. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import type { Literal } from '../../../src/nftables-json/schema.ts';
import { NODE_IP } from '../ipvs/world.ts';
import { type Draft, draft, serviceOf } from './drafts.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, remove } from './vandal.ts';
import { Walker } from './walker.ts';
import type { Packet } from './walker-values.ts';
import { commandsFor, elementsIn, start } from './world.ts';

const CLIENTS = [
  ['192.0.2.9', 'eth0'],
  ['10.200.0.77', 'cni0'],
  [NODE_IP.IPv4, undefined],
] as const;

/** From everybody to each address of the Service. */
const packetsTo = ({ port }: ServiceEndpoints): readonly Packet[] => {
  const places = [port.clusterIP, ...port.externalIPs, ...port.loadBalancerVIPs].map((ip) => [ip, port.port] as const);
  const all = port.nodePort === 0 ? places : [...places, [NODE_IP.IPv4, port.nodePort] as const];
  return all.flatMap(([destination, number]) =>
    CLIENTS.map(
      ([source, inInterface]) => ({ source, destination, protocol: 'tcp', port: number, inInterface }) as const,
    ),
  );
};

const walkerOf = (kernel: MemoryNft): Walker => new Walker(commandsFor(kernel), [NODE_IP.IPv4]);

const fieldsOf = (text: string): { readonly concat: readonly Literal[] } => ({
  concat: text.split(' . ').map((field) => (/^\d+$/.test(field) ? Number(field) : field)),
});

/** One of the connections that a packet may become, as the kernel remembers it. */
const connect = async (kernel: MemoryNft, packet: Packet, draw: number): Promise<void> => {
  const { remembered } = walkerOf(kernel).walk(packet);
  const chosen = remembered[draw % Math.max(1, remembered.length)];
  const [, key, data] = /^affinity: (.*) → (.*)$/.exec(chosen ?? '') ?? [];
  if (key === undefined || data === undefined) return;
  const isKnown = (await elementsIn(kernel, ['affinity'])).some((line) => line.includes(`{ ${key} `));
  const elem = { val: fieldsOf(key), timeout: 60 };
  kernel.run([...(isKnown ? [remove('affinity', fieldsOf(key))] : []), add('affinity', [{ elem }, fieldsOf(data)])]);
};

it('clients that are remembered are led to endpoints that others are led to as well', async () => {
  const step = fc.record({
    wanted: fc.option(draft, { nil: undefined, freq: 6 }),
    isRestarted: fc.boolean(),
    draws: fc.array(fc.nat({ max: 9 }), { minLength: 15, maxLength: 15 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 5 }), async (steps) => {
      const kernel = new MemoryNft();
      let life = start(kernel);
      await life.sync([]);
      for (const { wanted, isRestarted, draws } of steps) {
        const service = wanted === undefined ? undefined : serviceOf(1, 'IPv4', sticky(wanted));
        if (isRestarted) life = start(kernel);
        await life.sync(service === undefined ? [] : [service], service === undefined ? ['ns/s1:p/TCP'] : []);
        if (service === undefined) continue;
        const fresh = new MemoryNft();
        await start(fresh).sync([service]);
        for (const [i, packet] of packetsTo(service).entries()) {
          const allowed = walkerOf(fresh).walk(packet).outcomes;
          const { outcomes } = walkerOf(kernel).walk(packet);
          expect(
            outcomes.filter((one) => !allowed.includes(one)),
            JSON.stringify(packet),
          ).toEqual([]);
          expect(outcomes.length).toBeGreaterThan(0);
          await connect(kernel, packet, draws[i] ?? 0);
        }
      }
    }),
    { numRuns: 25 },
  );
}, 60_000);

/** Mostly with affinity. */
const sticky = (wanted: Draft): Draft => ({
  ...wanted,
  affinitySeconds: wanted.endpoints.includes(9) ? 0 : 60,
  ranges: 'none',
});
