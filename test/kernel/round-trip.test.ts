/**
 * The golden pages on a real kernel: after each step what is read is what is wanted, and what the tools list is what the
 * iptables in memory lists. Under both tools, in both families.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { removeAll } from '../../src/dataplane/cleanup.ts';
import { diff } from '../../src/dataplane/desired.ts';
import type { IptablesTools } from '../../src/kernel/iptables.ts';
import { createNetwork, type Lab } from '../../src/lab/network/lab.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { memoryBackend } from '../cases/memory-backend.ts';
import { chainsIn, MemoryIptables } from '../cases/memory-iptables.ts';
import { readPages } from '../cases/page.ts';
import { Cluster, optionsOf, Program } from '../cases/program.ts';
import { TOOL_INPUTS } from '../cases/tool-inputs.ts';
import { VARIANTS } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';
import { settingsIn } from './settings-in.ts';

const PROGRAMS = ['', '-save', '-restore'] as const;
const PAGES = readPages().map((page) => [`${page.name}: ${page.title}`, page] as const);
const INPUTS = TOOL_INPUTS.map((one) => [one.name, one] as const);
const { signal } = new AbortController();

type Variant = (typeof VARIANTS)[number]['variant'];

/** Our chains, and of the built-in ones the rules that lead to ours. */
const oursIn = (saved: string): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(
    Object.entries(chainsIn(saved)).flatMap(([name, rules]) => {
      if (name.includes(' KUBE-')) return [[name, rules]];
      const jumps = rules.filter((rule) => rule.includes('KUBE-'));
      return jumps.length === 0 ? [] : [[name, jumps]];
    }),
  );

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'a round trip through', () => {
  let lab: Lab;
  let folder: string;

  /** Programs that do in the lab's node1 what the real ones do here. */
  const toolOf = (variant: Variant, family: IPFamily): string =>
    join(folder, `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${variant}`);

  const toolsOf = (variant: Variant): IptablesTools => ({
    variant,
    IPv4: toolOf(variant, 'IPv4'),
    IPv6: toolOf(variant, 'IPv6'),
  });

  beforeAll(async () => {
    lab = await createNetwork();
    folder = await mkdtemp(join(tmpdir(), 'pointsman-tools-'));
    for (const { variant } of VARIANTS) {
      for (const name of PROGRAMS.flatMap((end) => [`iptables-${variant}${end}`, `ip6tables-${variant}${end}`])) {
        const path = join(folder, name);
        await writeFile(path, `#!/bin/sh\nexec ip netns exec ${lab.host('node1').namespace} ${name} "$@"\n`);
        await chmod(path, 0o755);
      }
    }
  });
  afterAll(async () => {
    await lab?.remove();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const saved = async (variant: Variant, family: IPFamily): Promise<string> => {
    const name = family === 'IPv4' ? 'iptables' : 'ip6tables';
    return (await lab.run('node1', `${name}-${variant}-save`)).stdout;
  };

  describe.each(VARIANTS.map(({ variant }) => variant))('iptables-%s', (variant) => {
    it.each(PAGES)('%s', async (_, page) => {
      const sysctls = settingsIn(lab.host('node1').namespace);
      const backendOf = (family: IPFamily) => iptablesBackend({ family, tools: toolsOf(variant), sysctls });
      const backends = { IPv4: backendOf('IPv4'), IPv6: backendOf('IPv6') };
      const memory = { IPv4: new MemoryIptables(), IPv6: new MemoryIptables() };
      const cluster = new Cluster();
      const options = await optionsOf(page.flags);
      const real = new Program(options, backends, cluster);
      const inMemory = new Program(
        options,
        { IPv4: memoryBackend('IPv4', memory.IPv4), IPv6: memoryBackend('IPv6', memory.IPv6) },
        cluster,
      );
      const check = async (what: string): Promise<void> => {
        for (const family of IP_FAMILIES) {
          const found = await backends[family].read(signal);
          expect(diff(found, real.reconcilers[family].want), `${what}: ${family}`).toEqual([]);
          expect(oursIn(await saved(variant, family)), `${what}: ${family}`).toEqual(oursIn(memory[family].save()));
        }
      };
      try {
        await Promise.all([real.sync(), inMemory.sync()]);
        for (const step of page.steps) {
          cluster.change(step);
          for (const one of [real, inMemory]) {
            one.tell(step);
            await one.sync();
          }
          await check(step.step);
        }
      } finally {
        // also when it failed: the next page starts with nothing
        for (const family of IP_FAMILIES) await removeAll(backends[family], signal);
      }
      // all goes but the guard of loopback, which may be the kubelet's
      const left = async (family: IPFamily) => Object.keys(oursIn(await saved(variant, family)));
      const guard = ['filter INPUT', 'filter KUBE-FIREWALL', 'filter OUTPUT'];
      const hadGuard = 'filter KUBE-FIREWALL' in oursIn(memory.IPv4.save());
      expect(await left('IPv4')).toEqual(hadGuard ? guard : []);
      expect(await left('IPv6')).toEqual([]);
      for (const operation of ['-F', '-X']) {
        await lab.run('node1', `iptables-${variant}`, ['-w', '5', '-t', 'filter', operation]);
      }
    });

    it.each(INPUTS)('like the one in memory: %s', async (_, { before, input, isRefused }) => {
      const tool = `iptables-${variant}`;
      const memory = new MemoryIptables(before);
      const restore = (text: string) =>
        lab.run('node1', `${tool}-restore`, ['-w', '5', '--noflush'], { input: text, reject: false });
      expect(await restore(before)).toMatchObject({ exitCode: 0 });
      const { exitCode, stderr } = await restore(input);
      try {
        memory.restore(input);
      } catch {
        // what it refuses is asked without a kernel
      }
      const after = oursIn(await saved(variant, 'IPv4'));
      // before anything is demanded: the next case starts with nothing
      for (const table of ['nat', 'filter']) {
        for (const operation of ['-F', '-X']) await lab.run('node1', tool, ['-w', '5', '-t', table, operation]);
      }
      expect(exitCode !== 0, stderr).toBe(isRefused);
      expect(after).toEqual(oursIn(memory.save()));
    });
  });
});
