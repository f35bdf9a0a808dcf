/**
 * Traffic for a change of mode, of every kind that modes treat differently: new connections all the time, and lines that are
 * kept. Services number 200 and on.
 */
import { expect } from 'vitest';
import type { AgentTask, HeldState, LoadTotals } from '../../src/lab/network/agent/calls.ts';
import type { Transport } from '../../src/lab/network/outcome.ts';
import { addressesOf, type KubernetesObject, objectsOf, type Variant } from '../conformance/world.ts';
import type { Bench } from './cluster.ts';

type From = 'pod3' | 'node1' | 'outside';

export interface Way {
  readonly from: From;
  readonly protocol: Transport;
  readonly host: string;
  readonly port: number;
}

const WEB: Variant = { family: 'IPv4', protocol: 'TCP', number: 200 };
const LOCAL: Variant = { family: 'IPv4', protocol: 'TCP', number: 201 };
const DNS: Variant = { family: 'IPv4', protocol: 'UDP', number: 202 };
const ENDPOINTS = [{ on: 'pod1' }, { on: 'remote1' }] as const;

export const TRAFFIC_OBJECTS: readonly KubernetesObject[] = [
  ...objectsOf('web', { nodePort: true, vip: true, endpoints: ENDPOINTS }, WEB),
  // pods and the node reach all endpoints, others those of this node
  ...objectsOf(
    'local',
    { nodePort: true, vip: true, endpoints: ENDPOINTS, spec: { externalTrafficPolicy: 'Local' } },
    LOCAL,
  ),
  ...objectsOf('dns', { endpoints: ENDPOINTS }, DNS),
];

const NODE_IP = '10.250.0.1';
const [web, local, dns] = [addressesOf(WEB), addressesOf(LOCAL), addressesOf(DNS)];
const tcp = (from: From, host: string, port = 80): Way => ({ from, protocol: 'tcp', host, port });

export const CLUSTER_IP = tcp('pod3', web.cluster);
export const NODE_PORT = tcp('outside', NODE_IP, web.nodePort);
export const UDP: Way = { ...tcp('pod3', dns.cluster), protocol: 'udp' };

const LOADED: readonly Way[] = [
  CLUSTER_IP,
  tcp('node1', web.cluster),
  NODE_PORT,
  tcp('outside', web.vip),
  tcp('outside', local.vip),
  // policy Local does not hold for these
  tcp('pod3', local.vip),
  tcp('node1', NODE_IP, local.nodePort),
];

const HELD: readonly Way[] = [CLUSTER_IP, tcp('node1', web.cluster), NODE_PORT, tcp('outside', local.vip), UDP];

const nameOf = ({ from, host, port }: Way): string => `${from} to ${host} ${port}`;

export interface Pace {
  readonly pauseMs: number;
  /** For an answer. */
  readonly timeoutMs: number;
  readonly intervalMs: number;
}

export class Traffic {
  readonly #loads = new Map<string, AgentTask<LoadTotals>>();
  readonly #held = new Map<string, AgentTask<HeldState>>();

  static async start(
    { lab }: Bench,
    { pauseMs, timeoutMs, intervalMs }: Pace,
    { loaded, held }: { readonly loaded: readonly Way[]; readonly held: readonly Way[] } = {
      loaded: LOADED,
      held: HELD,
    },
  ): Promise<Traffic> {
    const traffic = new Traffic();
    for (const way of loaded) {
      const { from, ...target } = way;
      const agent = await lab.agent(from);
      traffic.#loads.set(nameOf(way), await agent.load({ ...target, parallel: 1, pauseMs, timeoutMs }));
    }
    for (const way of held) {
      const { from, ...target } = way;
      const agent = await lab.agent(from);
      traffic.#held.set(nameOf(way), await agent.hold({ ...target, timeoutMs, intervalMs }));
    }
    return traffic;
  }

  /** Closes every line, and expects it to have stood. */
  async endHeld(): Promise<void> {
    for (const [name, line] of this.#held) {
      const { alive, failure } = await line.stop();
      expect({ name, alive, failure }).toMatchObject({ name, alive: true });
    }
    this.#held.clear();
  }

  /** Ends the load, and expects each of its connections to have been answered. */
  async expectAnswered(): Promise<void> {
    for (const [name, load] of this.#loads) {
      const { tries, answers, failures } = await load.stop();
      expect({ name, failures, answers }).toEqual({ name, failures: {}, answers: tries });
      expect(answers, name).toBeGreaterThan(5);
    }
    this.#loads.clear();
  }

  /** Whatever is still going on. */
  async stop(): Promise<void> {
    await Promise.all([...this.#loads.values(), ...this.#held.values()].map((one) => one.stop()));
  }
}
