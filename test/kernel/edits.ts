/** What tests of edits by others share: Services of every kind, and a look at what an edit had the proxy write. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import type { Lab } from '../../src/lab/network/lab.ts';
import { addressesOf, type KubernetesObject, objectsOf, type ServiceSpec, type Variant } from '../conformance/world.ts';
import { parseExposition } from '../observe/exposition.ts';
import { type Bench, untilAnswered } from './cluster.ts';

const BOTH = [{ on: 'pod1' }, { on: 'remote1' }] as const;
const SPECS: Readonly<Record<string, ServiceSpec>> = {
  plain: { endpoints: BOTH },
  sticky: { endpoints: BOTH, nodePort: true, spec: { sessionAffinity: 'ClientIP' } },
  ranged: {
    endpoints: BOTH,
    nodePort: true,
    externalIP: true,
    vip: true,
    spec: { loadBalancerSourceRanges: ['10.250.0.0/24', '10.200.0.0/16'] },
  },
  local: { endpoints: BOTH, nodePort: true, vip: true, spec: { externalTrafficPolicy: 'Local' } },
  elsewhere: {
    endpoints: [{ on: 'remote1' }],
    nodePort: true,
    vip: true,
    spec: { externalTrafficPolicy: 'Local' },
  },
  nobody: { endpoints: [], nodePort: true },
};
const FIRST = 220;

export type EditedService = 'plain' | 'sticky' | 'ranged' | 'local' | 'elsewhere' | 'nobody';

export const variantOf = (name: EditedService): Variant => ({
  family: 'IPv4',
  protocol: 'TCP',
  number: FIRST + Object.keys(SPECS).indexOf(name),
});

export const EDITED_OBJECTS: readonly KubernetesObject[] = Object.entries(SPECS).flatMap(([name, spec]) =>
  objectsOf(name, spec, variantOf(name as EditedService)),
);

const TARGET = { protocol: 'tcp' as const, host: addressesOf(variantOf('plain')).cluster, port: 80 };

/** A proxy that has all of these Services in the kernel, and how many objects it wrote for that. */
export const startEdited = async (
  { cluster, lab }: Bench,
  flags: readonly string[],
  withinMs?: number,
): Promise<{ readonly proxy: NodeProxy; readonly written: number }> => {
  await cluster.put(EDITED_OBJECTS);
  const proxy = cluster.startProxy('node1', [...flags, '--cluster-cidr=10.200.0.0/16,fd20::/48', '-v=2']);
  for (const family of ['IPv4', 'IPv6'])
    await proxy.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true`), withinMs);
  await untilAnswered(lab, 'pod3', TARGET, withinMs);
  return { proxy, written: await countWritten(lab) };
};

const SCRAPE = `process.stdout.write(await (await fetch('http://127.0.0.1:10249/metrics')).text())`;
const LOOK_MS = 20;
/** So long nothing more is to be written. */
const QUIET_MS = 300;

/** Kernel objects that the proxy on node1 has written since its start. */
export const countWritten = async (lab: Lab): Promise<number> => {
  const args = ['--input-type=module', '-e', SCRAPE];
  const { stdout } = await lab.run('node1', process.execPath, args, { timeoutMs: 60_000 });
  const samples = parseExposition(`${stdout}\n`).get('pointsman_objects_written_total')?.samples ?? [];
  expect(samples.length).toBeGreaterThan(0);
  return samples.reduce((sum, { value }) => sum + value, 0);
};

export interface Edit {
  readonly lab: Lab;
  /** What is in the kernel, as text. */
  readonly listed: () => Promise<string>;
  readonly edit: () => Promise<unknown> | unknown;
  readonly withinMs: number;
}

export interface Repair {
  /** Kernel objects that were written until now. */
  readonly written: number;
  readonly tookMs: number;
}

/** Makes an edit, and waits until all is again as before. */
export const repairOf = async ({ lab, listed, edit, withinMs }: Edit): Promise<Repair> => {
  const before = await listed();
  await edit();
  const editedAt = performance.now();
  for (let now = await listed(); now !== before; now = await listed()) {
    if (performance.now() - editedAt > withinMs) expect(now, `repaired within ${withinMs} ms`).toBe(before);
    await pause(LOOK_MS);
  }
  const tookMs = Math.round(performance.now() - editedAt);
  await pause(QUIET_MS);
  expect(await listed()).toBe(before);
  return { written: await countWritten(lab), tookMs };
};
