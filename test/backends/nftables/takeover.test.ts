/** A node that kube-proxy served before: its table becomes ours, and nobody is left unserved on the way. */
import { expect, it } from 'vitest';
import type { SetDeclaration } from '../../../src/nftables-json/schema.ts';
import { NODE_IP, tcp } from '../ipvs/world.ts';
import { kubeProxyTable } from './kube-proxy-table.ts';
import { MemoryNft } from './memory-nft.ts';
import { Walker } from './walker.ts';
import type { Packet } from './walker-values.ts';
import { commandsFor, comparable, freshListing, listingOf, NO_DRIFT, start } from './world.ts';

const ENDPOINTS = 30;

/** More than goes into one transaction. */
const many = Array.from({ length: 50 }, (_, n) => ({
  name: `s${n}`,
  ip: `10.96.${n >> 8}.${n & 255}`,
  endpoints: Array.from({ length: ENDPOINTS }, (_unused, i) => `10.200.${n & 255}.${i + 1}`),
}));
/** While nobody looked, each has lost an endpoint and won another. */
const now = many.map(({ name, ip, endpoints }, n) => tcp(name, ip, [...endpoints.slice(1), `10.200.${n & 255}.200`]));

const install = (kernel: MemoryNft, services: typeof many): void => {
  const commands = kubeProxyTable(services);
  const sets = commands.flatMap((command): readonly SetDeclaration[] => {
    if (!('add' in command)) return [];
    return 'set' in command.add ? [command.add.set] : 'map' in command.add ? [command.add.map] : [];
  });
  kernel.run(commands, sets);
};

const packetTo = (destination: string): Packet => ({
  source: '10.200.250.9',
  destination,
  protocol: 'tcp',
  port: 80,
  inInterface: 'cni0',
});

it('kube-proxy’s table serves its ClusterIPs, or this would prove nothing', () => {
  const kernel = new MemoryNft();
  install(kernel, many.slice(0, 1));
  const walker = new Walker(commandsFor(kernel), [NODE_IP.IPv4]);
  expect(walker.walk(packetTo('10.96.0.0')).outcomes).toEqual(many[0]?.endpoints.map((ip) => `${ip}:8080`).sort());
  expect(walker.walk(packetTo('10.96.7.7')).outcomes).toEqual(['reject']);
});

it('a table of kube-proxy’s is ours after one sync, without an end of service between its transactions', async () => {
  const kernel = new MemoryNft();
  install(kernel, many);
  const known = new Map(
    many.map(({ ip, endpoints }, n) => [
      ip,
      new Set([...endpoints, `10.200.${n & 255}.200`].map((to) => `${to}:8080`)),
    ]),
  );
  // some of each transaction
  const looked = [...known].filter((_, n) => n % 9 === 0);
  let borders = 0;
  kernel.onCommit = () => {
    borders += 1;
    const walker = new Walker(commandsFor(kernel), [NODE_IP.IPv4]);
    for (const [ip, allowed] of looked) {
      const { outcomes } = walker.walk(packetTo(ip));
      expect(outcomes.length, `${ip} at border ${borders}`).toBe(ENDPOINTS);
      expect(outcomes.filter((to) => !allowed.has(to))).toEqual([]);
    }
  };
  const life = start(kernel);
  await life.sync(now);
  expect(borders).toBeGreaterThan(2);
  expect(life.refused).toEqual([]);
  expect(comparable(await listingOf(kernel))).toEqual(await freshListing(now));
  expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
});
