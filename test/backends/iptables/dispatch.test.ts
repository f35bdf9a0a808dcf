import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/backends/iptables/compile.ts';
import { Dispatch } from '../../../src/backends/iptables/dispatch.ts';
import type { DesiredIptablesObject, PacketDestination } from '../../../src/backends/iptables/objects.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import { costOf, endOf, flatten, frontendTo, idOf, LOCAL, nodeOf, numbers, Tree, treeOf } from './dispatching.ts';
import { COUNT, DISTRIBUTIONS } from './distributions.ts';
import { type ServiceDraft, serviceOf } from './services.ts';
import { type Packet, Walker } from './walker.ts';

const CLIENT: Readonly<Record<IPFamily, string>> = { IPv4: '10.250.0.9', IPv6: 'fd50::9' };

const packetTo = ({ ip, protocol, port }: PacketDestination, family: IPFamily): Packet => ({
  source: CLIENT[family],
  destination: ip ?? LOCAL[family],
  protocol: protocol.toLowerCase() as Packet['protocol'],
  port,
  inInterface: 'eth0',
});

const dense = (count: number): readonly PacketDestination[] =>
  Array.from({ length: count }, (_, i) => ({ ip: `10.96.${i >> 8}.${i & 255}`, protocol: 'TCP' as const, port: 80 }));

const rulesOf = (objects: readonly DesiredIptablesObject[], id: string): readonly string[] => {
  const found = objects.find((object) => object.id === id);
  return found?.kind === 'chain' ? found.rules : [];
};

const treeChains = (objects: readonly DesiredIptablesObject[]): readonly string[] =>
  objects.map(({ id }) => id).filter((id) => /^nat KUBE-(?:SVC|EXT)-/.test(id));

const contents = (objects: readonly DesiredIptablesObject[]): readonly string[] =>
  objects.map(({ id, content }) => `${id}\n${content}`).sort();

describe('a dispatch chain', () => {
  it('is one list of up to 50 lines, as kube-proxy would have it', () => {
    const { objects } = treeOf(dense(50), 'IPv4');
    expect(treeChains(objects)).toEqual([]);
    expect(rulesOf(objects, 'nat KUBE-SERVICES')).toHaveLength(50 + 1);
  });

  it('branches from 51 on, and is a list again when it gets shorter', () => {
    const all = dense(51);
    const tree = treeOf(all, 'IPv4');
    expect(rulesOf(tree.objects, 'nat KUBE-SERVICES')).toEqual([
      '-d 10.96.0.0/28 -j KUBE-SVC-10.96.0.0/28',
      '-d 10.96.0.16/28 -j KUBE-SVC-10.96.0.16/28',
      '-d 10.96.0.32/28 -j KUBE-SVC-10.96.0.32/28',
      '-d 10.96.0.48/28 -j KUBE-SVC-10.96.0.48/28',
      expect.stringContaining('-j KUBE-NODEPORTS'),
    ]);
    tree.remove({ ip: '10.96.0.50', protocol: 'TCP', port: 80 });
    tree.write();
    expect(contents(tree.objects)).toEqual(contents(treeOf(dense(50), 'IPv4').objects));
  });

  it('has names that no tool cuts and kube-proxy would remove as its own', () => {
    for (const { all, family } of DISTRIBUTIONS) {
      for (const id of treeChains(treeOf(all.slice(0, 600), family).objects)) {
        expect(id.replace('nat ', '')).toMatch(/^KUBE-(?:SVC|EXT)-(?:[0-9a-z.:/-]{3,19}|by-[A-Z2-7]{16})$/);
      }
    }
  });

  it('says whose lines stand in a chain', () => {
    const dispatch = new Dispatch(32);
    const all = dense(60);
    const wishes = all.map((to, n) => ({ op: 'add', object: frontendTo(to, n, 'IPv4') }) as const);
    dispatch.arrange(wishes);
    expect(dispatch.sources('nat KUBE-SERVICES')).toEqual([]);
    expect(dispatch.sources('nat KUBE-SVC-10.96.0.0/30')).toEqual(all.slice(0, 4).map(idOf));
    expect(dispatch.sources('nat KUBE-MARK-MASQ')).toEqual([]);
  });
});

describe.each(DISTRIBUTIONS)(`${COUNT} Services $name`, ({ all, family }) => {
  const tree = treeOf(all, family);

  it('are each reached past fewer than 40 rules, and their neighbours are not', () => {
    const walker = new Walker(tree.objects, [LOCAL[family]]);
    const known = new Set(all.map(idOf));
    let most = 0;
    for (let n = 0; n < all.length; n += 19) {
      const to = all[n] as PacketDestination;
      const { outcomes, natRules } = walker.walk(packetTo(to, family));
      expect(outcomes).toEqual([endOf(n, family)]);
      const neighbour = { ...to, port: to.port === 65_535 ? 1 : to.port + 1 };
      const miss = walker.walk(packetTo(neighbour, family));
      if (!known.has(idOf(neighbour))) expect(miss.outcomes[0]).toMatch(`:${neighbour.port}`);
      most = Math.max(most, natRules, miss.natRules);
    }
    expect(most).toBeGreaterThan(10); // the walker did count
    expect(most).toBeLessThan(40);
  });

  it('gain and lose one for a handful of rules in a small chain', () => {
    const below = numbers(3);
    const costs = Array.from({ length: 80 }, () => {
      const n = below(all.length);
      const to = all[n] as PacketDestination;
      tree.remove(to);
      const less = costOf(tree.write());
      tree.put(to, n);
      return [less, costOf(tree.write())];
    }).flat();
    expect(Math.min(...costs.map(({ chains }) => chains))).toBeGreaterThan(0);
    // a full chain of eight that branches: four of its own, nine lines below
    expect(Math.max(...costs.map(({ rules }) => rules))).toBeLessThanOrEqual(4 + 9);
    expect(Math.max(...costs.map(({ chains }) => chains))).toBeLessThanOrEqual(1 + 4);
  });
});

describe('whatever the history', () => {
  const to = fc.record({
    ip: fc.oneof(
      fc.nat({ max: 90 }).map((n) => `10.96.0.${n}`),
      fc.constant(undefined),
    ),
    protocol: fc.constantFrom('TCP', 'UDP') as fc.Arbitrary<'TCP' | 'UDP'>,
    port: fc.integer({ min: 80, max: 95 }),
  });
  const step = fc.record({ to, isRemoved: fc.boolean(), isWritten: fc.boolean() });

  it('the chains are those of a fresh start, and what was written adds up to them', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), (steps) => {
        const tree = new Tree('IPv4');
        const last = new Map<string, { readonly to: PacketDestination; readonly n: number }>();
        for (const [n, { to: destination, isRemoved, isWritten }] of steps.entries()) {
          if (isRemoved) {
            tree.remove(destination);
            last.delete(idOf(destination));
          } else {
            tree.put(destination, n);
            last.set(idOf(destination), { to: destination, n });
          }
          if (isWritten) tree.write();
        }
        tree.write();
        const fresh = new Tree('IPv4');
        for (const { to: destination, n } of [...last.values()].reverse()) fresh.put(destination, n);
        expect(contents(tree.objects)).toEqual(contents(fresh.objects));
        expect(contents([...tree.state.have.values()])).toEqual(contents(fresh.objects));
      }),
      { numRuns: 60 },
    );
  });

  it('nothing is written over what a predecessor with the same Services left', async () => {
    const all = DISTRIBUTIONS[1]?.all.slice(0, 500) ?? [];
    const left = treeOf(all, 'IPv4').objects;
    const tree = new Tree('IPv4');
    for (const [n, destination] of [...all.entries()].reverse()) tree.put(destination, n);
    await tree.state.adopt(new Map(left.map((object) => [object.id, object])));
    expect(tree.write()).toEqual([]);
  });
});

describe('the tree does what a flat list does', () => {
  const draft: fc.Arbitrary<ServiceDraft> = fc.record({
    protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
    endpoints: fc.constantFrom('none', 'here', 'elsewhere'),
    isExternal: fc.boolean(),
    isLocal: fc.boolean(),
    hasNodePort: fc.boolean(),
    ranges: fc.constantFrom('open', 'closed'),
  });
  const drafts = fc.array(draft, { minLength: 50, maxLength: 90 });

  it.each(['IPv4', 'IPv6'] as const)('to any packet (%s)', (family) => {
    fc.assert(
      fc.property(drafts, fc.nat(), (list, seed) => {
        const node = nodeOf(family);
        const tree = new Tree(family);
        const services = list.map((one, n) => serviceOf(one, n, family));
        const compiled = services.map((service) => compile(service, node));
        for (const fragment of compiled) tree.state.stage(fragment.owner, fragment);
        const wishes = [...(tree.state.desired.fragment('base')?.objects ?? []), ...compiled.flatMap((f) => f.objects)];
        const walkers = [tree.objects, flatten(wishes)].map((objects) => new Walker(objects, [LOCAL[family]]));
        const below = numbers(seed);
        for (const { port } of services) {
          const addresses = [
            port.clusterIP,
            ...port.externalIPs,
            ...port.loadBalancerVIPs,
            LOCAL[family],
            CLIENT[family],
          ];
          const ip = addresses[below(addresses.length)];
          const ports = [port.port, port.nodePort, port.port + 1, port.nodePort + 1];
          const protocol = below(4) === 0 ? 'TCP' : port.name.protocol;
          const base = packetTo({ ip, protocol, port: ports[below(ports.length)] ?? 80 }, family);
          const packet = below(2) === 0 ? base : { ...base, inInterface: undefined };
          const [byTree, byList] = walkers.map((walker) => walker.walk(packet).outcomes);
          expect(byTree, JSON.stringify(packet)).toEqual(byList);
        }
      }),
      { numRuns: 8 },
    );
  });
});
