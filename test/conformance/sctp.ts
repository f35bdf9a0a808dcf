/** SCTP with real packets: socat on both ends, as the agents of the lab have TCP and UDP only. */
import { expect } from 'vitest';
import type { IPFamily } from '../../src/model/address.ts';
import type { Bench } from '../kernel/cluster.ts';
import { ADDRESSES, FIRST_NODE_PORT, objectsOf, TARGET_PORT } from './world.ts';

const NUMBER = 20;

interface Way {
  readonly family: IPFamily;
  readonly clusterIP: string;
  /** socat's address type. */
  readonly kind: string;
}

export const SCTP_WAYS: readonly Way[] = [
  { family: 'IPv4', clusterIP: `10.96.1.${NUMBER}`, kind: 'SCTP4' },
  { family: 'IPv6', clusterIP: 'fd96::114', kind: 'SCTP6' },
];

/** Lets pod1 and remote1 answer with their names, in both families. */
export const serveSctp = ({ lab }: Bench): void => {
  for (const pod of ['pod1', 'remote1'] as const) {
    const listen = `SCTP6-LISTEN:${TARGET_PORT},fork,reuseaddr,ipv6only=0`;
    void lab.spawn(pod, 'socat', [listen, `SYSTEM:echo ${pod}`]).catch(() => undefined);
  }
};

interface Calling {
  /** By everyone to each address: with as many as there are endpoints, mode ipvs meets every one of them. */
  readonly tries: number;
  untilServed(clusterIP: string): Promise<void>;
}

/** Calls a Service of this family by ClusterIP and NodePort. Gives who answered, caller by caller. */
export const callSctp = async (
  { lab, cluster }: Bench,
  { family, clusterIP, kind }: Way,
  { tries, untilServed }: Calling,
): Promise<ReadonlyMap<string, readonly string[]>> => {
  const spec = { endpoints: [{ on: 'pod1' }, { on: 'remote1' }], nodePort: true } as const;
  const objects = objectsOf(`sctp-${family.toLowerCase()}`, spec, { family, protocol: 'SCTP', number: NUMBER });
  await cluster.put(objects);
  await untilServed(clusterIP);
  const said = new Map<string, readonly string[]>();
  const call = async (from: 'pod3' | 'outside' | 'node1' | 'remote2', ip: string, port: number): Promise<void> => {
    const answers = new Set<string>();
    const address = `${kind}:${family === 'IPv6' ? `[${ip}]` : ip}:${port}`;
    for (let i = 0; i < tries; i += 1) {
      const { stdout } = await lab.run(from, 'socat', ['-T5', '-u', address, '-'], { timeoutMs: 30_000 });
      answers.add(stdout.trim());
    }
    said.set(`${from} to ${address}`, [...answers].sort());
  };
  for (const from of ['pod3', 'outside', 'node1'] as const) await call(from, clusterIP, 80);
  for (const from of ['pod3', 'outside', 'node1', 'remote2'] as const) {
    await call(from, ADDRESSES.node1[family], FIRST_NODE_PORT['node-port'] + NUMBER);
  }
  await cluster.delete(objects);
  expect(said.size).toBe(7);
  return said;
};
