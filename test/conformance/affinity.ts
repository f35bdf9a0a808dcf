/**
 * Session affinity with a hundred clients: who stays where while endpoints come and go, and who may move when. The same in all
 * modes.
 */
import { expect, it } from 'vitest';
import type { Bench } from '../kernel/cluster.ts';
import { untilAnswered } from '../kernel/cluster.ts';
import { destinationOf, type EndpointSpec, objectsOf, type Variant } from './world.ts';

export interface AffinityBench {
  readonly bench: Bench;
  /** The time-out: longer than all clients take for three calls each. */
  readonly seconds: number;
  readonly number: number;
}

const CLIENTS = 100;
const FIRST_CLIENT = 101;
const HERE: readonly EndpointSpec[] = [{ on: 'pod1' }, { on: 'pod2' }, { on: 'remote1' }];
const PATIENCE_MS = 30_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const clientAddress = (i: number): string => `10.250.0.${FIRST_CLIENT + i}`;

/** Gives the host outside a hundred addresses more. */
export const addClients = async ({ lab }: Bench): Promise<void> => {
  const { stdout } = await lab.run('outside', 'ip', ['-o', 'route', 'get', '10.250.0.1']);
  const device = / dev (\S+)/.exec(stdout)?.[1] ?? '';
  const lines = Array.from({ length: CLIENTS }, (_, i) => `address add ${clientAddress(i)}/24 dev ${device}`);
  await lab.run('outside', 'ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
};

/** Declares the test; `get` is asked when it runs. The host outside has its clients. */
export const affinityTest = (mode: string, get: () => AffinityBench): void => {
  it(`${mode}: a hundred clients stay put while another endpoint comes and goes, and may move after the time-out`, async () => {
    const { bench, seconds, number } = get();
    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number };
    const spec = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: seconds } } };
    const put = (endpoints: readonly EndpointSpec[]) =>
      bench.cluster.put(objectsOf('affinity', { spec, endpoints }, variant));
    const target = { protocol: 'tcp' as const, ...destinationOf('cluster', variant) };
    const agent = await bench.lab.agent('outside');

    /** Where each client gets, one call each. */
    const reached = async (): Promise<readonly string[]> => {
      const calls = Array.from({ length: CLIENTS }, async (_, i) => {
        const [outcome] = await agent.probe({
          ...target,
          tries: 1,
          timeoutMs: 10_000,
          sourceAddress: clientAddress(i),
        });
        return outcome?.kind === 'answer' ? outcome.server : (outcome?.kind ?? 'nothing');
      });
      return Promise.all(calls);
    };
    const differing = (a: readonly string[], b: readonly string[]): number =>
      a.filter((server, i) => server !== b[i]).length;

    await put(HERE);
    await untilAnswered(bench.lab, 'pod3', target, PATIENCE_MS);
    const first = await reached();
    expect([...new Set(first)].sort()).toEqual(['pod1', 'pod2', 'remote1']);
    expect(await reached()).toEqual(first);

    await put([...HERE, { on: 'remote2' }]);
    await sleep(300);
    expect(differing(await reached(), first), 'after another endpoint came').toBe(0);
    await put(HERE);
    await sleep(300);
    expect(differing(await reached(), first), 'after it went').toBe(0);

    await put(HERE.filter(({ on }) => on !== 'pod2'));
    await expect.poll(reached, { timeout: PATIENCE_MS }).not.toContain('pod2');
    const without = await reached();
    const others = first.map((server, i) => [server, without[i]] as const).filter(([server]) => server !== 'pod2');
    expect(
      others.filter(([before, after]) => before !== after),
      'clients of the endpoints that are left',
    ).toEqual([]);

    await put(HERE);
    await sleep((seconds + 1) * 1_000);
    // a hundred clients that all choose as they did before: once in 3^100
    expect(differing(await reached(), without), 'after the time-out').toBeGreaterThan(10);
    await bench.cluster.delete(objectsOf('affinity', { endpoints: [] }, variant));
  });
};
