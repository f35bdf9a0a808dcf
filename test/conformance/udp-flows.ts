/**
 * UDP flows that outlive their endpoint: a client with a fixed port, which never pauses, so that conntrack alone would keep
 * it where it was. The same in all modes.
 */
import { expect, it } from 'vitest';
import type { AgentTask, HeldState } from '../../src/lab/network/agent/calls.ts';
import type { Bench } from '../kernel/cluster.ts';
import { destinationOf, type EndpointSpec, objectsOf, type Variant } from './world.ts';

const variantOf = (number: number): Variant => ({ family: 'IPv4', protocol: 'UDP', number });
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface FlowBench {
  readonly bench: Bench;
  /** How long a change may take until the client is elsewhere. */
  readonly patienceMs: number;
  /** How long an answer may take on its way: a question without one by then counts as missed. */
  readonly answerMs: number;
  /** Numbers of Services that nobody else uses: from here on. */
  readonly first: number;
}

interface Client {
  readonly held: AgentTask<HeldState>;
  /** Waits until this server answers. */
  reaches(server: string): Promise<void>;
  /** Waits until nobody does. */
  reachesNobody(): Promise<void>;
}

/** Declares the tests; `get` is asked when they run. */
export const udpFlowTests = (mode: string, get: () => FlowBench): void => {
  const put = async (name: string, number: number, endpoints: readonly EndpointSpec[]): Promise<void> => {
    await get().bench.cluster.put(objectsOf(name, { nodePort: true, endpoints }, variantOf(number)));
  };

  const client = async (
    from: 'pod3' | 'outside',
    to: 'cluster' | 'node-port',
    number: number,
    localPort: number,
  ): Promise<Client> => {
    const { bench, patienceMs, answerMs } = get();
    const target = { protocol: 'udp' as const, ...destinationOf(to, variantOf(number)), localPort };
    const agent = await bench.lab.agent(from);
    const open = async (): Promise<AgentTask<HeldState>> => {
      for (const deadline = Date.now() + 10_000; ; ) {
        try {
          return await agent.hold({ ...target, intervalMs: 10, timeoutMs: answerMs });
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
      }
    };
    const held = await open();
    const reaches = async (server: string): Promise<void> => {
      const deadline = Date.now() + patienceMs;
      for (;;) {
        const state = await held.state();
        if (state.alive && state.server === server) return;
        if (Date.now() > deadline) throw new Error(`${from} does not reach ${server}: ${JSON.stringify(state)}`);
        await sleep(10);
      }
    };
    const reachesNobody = () =>
      expect.poll(async () => (await held.state()).alive, { timeout: patienceMs }).toBe(false);
    return { held, reaches, reachesNobody };
  };

  it.each([
    ['pod3', 'cluster'],
    ['outside', 'node-port'],
  ] as const)(`${mode}: a client in ${'%s'} follows its only endpoint (%s), also by way of none`, async (from, to) => {
    const number = get().first + (to === 'cluster' ? 0 : 1);
    await put('replaced', number, [{ on: 'pod1' }]);
    const { held, reaches, reachesNobody } = await client(from, to, number, 40_000 + number);
    await reaches('pod1');
    await put('replaced', number, [{ on: 'pod2' }]);
    await reaches('pod2');
    await put('replaced', number, []);
    await reachesNobody();
    await put('replaced', number, [{ on: 'remote1' }]);
    await reaches('remote1');
    const { servers } = await held.stop();
    expect(Object.keys(servers).sort()).toEqual(['pod1', 'pod2', 'remote1']);
    await get().bench.cluster.delete(objectsOf('replaced', { nodePort: true, endpoints: [] }, variantOf(number)));
  });

  it(`${mode}: a flow stays with an endpoint that drains, and with one that was never touched`, async () => {
    const [draining, untouched] = [get().first + 2, get().first + 3];
    await put('draining', draining, [{ on: 'pod1' }]);
    await put('untouched', untouched, [{ on: 'remote1' }]);
    const first = await client('pod3', 'cluster', draining, 40_000 + draining);
    const second = await client('pod3', 'cluster', untouched, 40_000 + untouched);
    await put('draining', draining, [{ on: 'pod1', state: 'draining' }, { on: 'pod2' }]);
    await sleep(400);
    for (const { held } of [first, second]) {
      const { roundTrips } = await held.state();
      const timeout = get().patienceMs;
      await expect.poll(async () => (await held.state()).roundTrips, { timeout }).toBeGreaterThan(roundTrips);
    }
    const kept = await first.held.stop();
    const left = await second.held.stop();
    if (mode !== 'ipvs') expect(kept.servers).toEqual({ pod1: kept.roundTrips });
    expect(left.servers).toEqual({ remote1: left.roundTrips });
    expect(left.missed).toBe(0);
    const gone = ['draining', 'untouched'].flatMap((name, i) =>
      objectsOf(name, { endpoints: [] }, variantOf(get().first + 2 + i)),
    );
    await get().bench.cluster.delete(gone);
  });

  it(`${mode}: a flow to a Service that is deleted leads nowhere, and to where it comes again`, async () => {
    const number = get().first + 4;
    await put('deleted', number, [{ on: 'pod1' }]);
    const { held, reaches, reachesNobody } = await client('pod3', 'cluster', number, 40_000 + number);
    await get().bench.cluster.delete(objectsOf('deleted', { nodePort: true, endpoints: [] }, variantOf(number)));
    await reachesNobody();
    await put('again', number, [{ on: 'pod2' }]);
    await reaches('pod2');
    await held.stop();
    await get().bench.cluster.delete(objectsOf('again', { nodePort: true, endpoints: [] }, variantOf(number)));
  });
};
