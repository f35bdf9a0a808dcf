/** Frontends taken apart: what is wanted is the same whatever came first, and however much came at once. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrontendArranger } from '../../../src/backends/ipvs/arrange.ts';
import { compile } from '../../../src/backends/ipvs/compile.ts';
import { setDefinition } from '../../../src/backends/ipvs/names.ts';
import {
  address,
  type DesiredIpvsObject,
  entry,
  frontendServers,
  realServer,
  virtualServer,
} from '../../../src/backends/ipvs/objects.ts';
import type { Fragment } from '../../../src/dataplane/contract.ts';
import { KernelState } from '../../../src/dataplane/state.ts';
import { MASQUERADE, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import { SETTINGS } from './memory-kernel.ts';
import { nodeOf, tcp, withLocal } from './world.ts';

const newState = (): KernelState<DesiredIpvsObject> => new KernelState<DesiredIpvsObject>(new FrontendArranger());
const contents = (state: KernelState<DesiredIpvsObject>): readonly string[] =>
  [...state.want.values()].map(({ id, content }) => `${id} ${content}`).sort();

/** One of four Services; all of them want one external IP, and two have one ClusterIP. */
const fragmentOf = (n: number, isLocal: boolean, endpoints: number, since: number): Fragment<DesiredIpvsObject> => {
  const ips = Array.from({ length: endpoints }, (_, i) => `10.200.${n}.${i}`);
  const port = {
    externalIPs: ['192.0.2.7'],
    externalPolicyLocal: isLocal,
    nodePort: 30_000 + (n % 2),
    createdAt: since,
  };
  const service = withLocal(tcp(`s${n}`, `10.96.0.${n >> 1}`, ips, port), ips.slice(0, 1));
  return compile(service, nodeOf('IPv4'), SETTINGS);
};

it('any order of wishes, looked at whenever, ends in what is wanted of them all', () => {
  const event = fc.record({
    n: fc.nat({ max: 3 }),
    isThere: fc.boolean(),
    isLocal: fc.boolean(),
    endpoints: fc.nat({ max: 2 }),
    since: fc.nat({ max: 2 }),
    isLookedAt: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      const state = newState();
      const last = new Map<string, Fragment<DesiredIpvsObject>>();
      for (const { n, isThere, isLocal, endpoints, since, isLookedAt } of events) {
        const fragment = fragmentOf(n, isLocal, endpoints, since);
        if (isThere) last.set(fragment.owner, fragment);
        else last.delete(fragment.owner);
        state.stage(fragment.owner, isThere ? fragment : undefined);
        if (isLookedAt) contents(state);
      }
      const fresh = newState();
      for (const [owner, fragment] of last) {
        fresh.stage(owner, fragment);
        contents(fresh);
      }
      expect(contents(state)).toEqual(contents(fresh));
      for (const object of state.want.values()) expect(state.ownersOf(object.id).length).toBeGreaterThan(0);
      expect([...last.keys()].length === 0).toBe(state.want.size === 0);
    }),
    { numRuns: 200 },
  );
});

it('what one frontend gives up another may take over, in one go', () => {
  const key = { protocol: 'TCP', address: '10.96.0.1', port: 80 } as const;
  const server = virtualServer(key, PLAIN);
  const own = realServer(key, { address: '10.200.0.1', port: 80 }, MASQUERADE);
  const frontends = new FrontendArranger();
  const state = new KernelState<DesiredIpvsObject>(frontends);
  state.stage('a', { owner: 'a', since: 1, objects: [frontendServers('one', [server, own]), address('10.96.0.1')] });
  contents(state);
  state.stage('b', { owner: 'b', since: 1, objects: [frontendServers('two', [server])] });
  state.stage('a', {
    owner: 'a',
    since: 1,
    objects: [frontendServers('one', [entry(setDefinition('IPVS-IPS', 'IPv4'), {})])],
  });
  expect([...state.want.keys()].sort()).toEqual(['entry KUBE-IPVS-IPS ', 'service -t 10.96.0.1:80']);
  expect(state.ownersOf(server.id)).toEqual(['b']);
  expect(frontends.sources(own.id)).toEqual([]);
});

it('a wish that comes and goes before anybody looks leaves nothing', async () => {
  const state = newState();
  state.stage('a', { owner: 'a', since: 1, objects: [address('10.96.0.1')] });
  state.stage('a', undefined);
  expect(state.want.size).toBe(0);
  expect(await state.changes()).toEqual([]);
});
