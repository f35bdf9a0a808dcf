/**
 * Fifty random lives on a real kernel in each mode: after each sync, what is read is what is wanted, and a program that starts
 * then has nothing to write. Mode ipvs has its own in User Mode Linux.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { type KernelSockets, openKernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import type { Backend, KernelObject } from '../../src/dataplane/contract.ts';
import type { IptablesTools } from '../../src/kernel/iptables.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import type { Backends } from '../cases/program.ts';
import { life } from '../sequences/random.ts';
import { LIVES, liveThrough } from '../sequences/real.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith, program } from './requires.ts';
import { settingsIn } from './settings-in.ts';

const MINUTES = 300_000;
const PROGRAMS = ['iptables-nft', 'ip6tables-nft'].flatMap((name) =>
  ['', '-save', '-restore'].map((end) => name + end),
);

describeWith([...NAMESPACE_NEEDS, program('iptables-nft')], 'random lives on a real kernel', () => {
  let namespace: Namespace;
  let folder: string;
  beforeAll(async () => {
    namespace = createNamespace();
    folder = await mkdtemp(join(tmpdir(), 'pointsman-tools-'));
    for (const name of PROGRAMS) {
      const path = join(folder, name);
      await writeFile(path, `#!/bin/sh\nexec ip netns exec ${namespace.name} ${name} "$@"\n`);
      await chmod(path, 0o755);
    }
  });
  afterAll(async () => {
    namespace?.remove();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const both = (of: (family: IPFamily) => unknown): Backends<KernelObject, unknown> => {
    const [IPv4, IPv6] = IP_FAMILIES.map((family) => of(family) as Backend<KernelObject, unknown>);
    if (IPv4 === undefined || IPv6 === undefined) throw new Error('no backend');
    return { IPv4, IPv6 };
  };

  const nftables = (): Backends<KernelObject, unknown> => {
    const { enter } = namespace;
    const { writer, openReader, openWatch } = enter(openKernelSockets);
    const sockets: KernelSockets = {
      writer,
      openReader: () => enter(openReader),
      openWatch: (family) => enter(() => openWatch(family)),
    };
    return both((family) => nftablesBackend({ family, sockets }));
  };

  const iptables = (): Backends<KernelObject, unknown> => {
    const tools: IptablesTools = {
      variant: 'nft',
      IPv4: join(folder, 'iptables-nft'),
      IPv6: join(folder, 'ip6tables-nft'),
    };
    const sysctls = settingsIn(namespace.name);
    return both((family) => iptablesBackend({ family, tools, sysctls }));
  };

  it.each([
    ['nftables', nftables],
    ['iptables', iptables],
  ] as const)(
    `mode %s: what is read equals what is wanted, ${LIVES} lives`,
    async (mode, open) => {
      for (const steps of fc.sample(life(4), LIVES)) {
        expect(await liveThrough(mode, steps, open), JSON.stringify(steps)).toEqual([]);
      }
    },
    MINUTES,
  );
});
