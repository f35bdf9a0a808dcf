/** Random lives on a real kernel in mode ipvs: fewer and shorter ones than elsewhere, as a second there is many here. */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { ipvsBackend, openKernel } from '../../src/backends/ipvs/index.ts';
import type { Backend, KernelObject } from '../../src/dataplane/contract.ts';
import { findTools } from '../../src/kernel/iptables.ts';
import type { IPFamily } from '../../src/model/address.ts';
import { SETTINGS } from '../backends/ipvs/memory-kernel.ts';
import { type Backends, INTERFACES } from '../cases/program.ts';
import { life } from '../sequences/random.ts';
import { liveThrough } from '../sequences/real.ts';

const LIVES = 20;

/** NodePorts are virtual servers at the node's own addresses: so the node must have them. */
beforeAll(() => {
  execFileSync('modprobe', ['dummy']);
  execFileSync('ip', ['link', 'add', 'node', 'type', 'dummy']);
  for (const ip of INTERFACES) execFileSync('ip', ['address', 'add', ip, 'dev', 'node']);
});

it(`mode ipvs: what is read equals what is wanted, ${LIVES} lives`, async () => {
  const tools = await findTools('legacy');
  const kernel = await openKernel(tools, SETTINGS);
  const open = (): Backends<KernelObject, unknown> => {
    const of = (family: IPFamily) =>
      ipvsBackend({ family, settings: SETTINGS, kernel }) as unknown as Backend<KernelObject, unknown>;
    return { IPv4: of('IPv4'), IPv6: of('IPv6') };
  };
  for (const steps of fc.sample(life(2), LIVES)) {
    expect(await liveThrough('ipvs', steps, open), JSON.stringify(steps)).toEqual([]);
  }
});
