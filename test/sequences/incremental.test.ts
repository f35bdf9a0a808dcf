/**
 * A thousand random lives in each mode: what the engine wants after each sync, having followed every event, is what it
 * would want had it started there; and what its changes made of an empty kernel is that too.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { ipvsBackend } from '../../src/backends/ipvs/index.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import type { Backend, Change, KernelObject } from '../../src/dataplane/contract.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { SETTINGS } from '../backends/ipvs/memory-kernel.ts';
import type { Step } from '../cases/page.ts';
import { type Backends, Cluster, optionsOf, Program } from '../cases/program.ts';
import { life } from './random.ts';

const LIVES = 1_000;
const MINUTES = 300_000;

type Kernel = Map<string, KernelObject>;

/** The backend with a kernel that is a map: what matters here is which changes it is given. */
const overMap = (backend: Backend<KernelObject, unknown>, kernel: Kernel): Backend<KernelObject, unknown> => ({
  ...backend,
  plan: (changes) => [{ payload: changes, ids: changes.map(({ object }) => object.id) }],
  read: async () => new Map(kernel),
  apply: async ({ payload }) => {
    for (const { op, object } of payload as readonly Change<KernelObject>[]) {
      if (op === 'add') expect(kernel.has(object.id)).toBe(false);
      else expect(kernel.has(object.id)).toBe(true);
      if (op === 'remove') kernel.delete(object.id);
      else kernel.set(object.id, object);
    }
  },
});

const MODES: Readonly<Record<string, (family: IPFamily) => Backend<KernelObject, unknown>>> = {
  iptables: (family) => iptablesBackend({ family }) as never,
  ipvs: (family) => ipvsBackend({ family, settings: SETTINGS }) as never,
  nftables: (family) => nftablesBackend({ family }) as never,
};

const flagsOf = (mode: string) => ({ 'proxy-mode': mode, 'nodeport-addresses': '0.0.0.0/0,::/0' });

/** Without what stays when nobody wants it any more. */
const contents = (
  objects: ReadonlyMap<string, KernelObject>,
  isWanted: (id: string) => boolean,
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...objects.values()]
      .filter(({ id, stays }) => stays !== true || isWanted(id))
      .map(({ id, content }) => [id, content] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

describe.each(Object.keys(MODES))('mode %s', (mode) => {
  const backends = (kernels: Readonly<Record<IPFamily, Kernel>>): Backends<KernelObject, unknown> => {
    const make = (family: IPFamily): Backend<KernelObject, unknown> => {
      const backend = MODES[mode]?.(family);
      if (backend === undefined) throw new Error(`no mode ${mode}`);
      return overMap(backend, kernels[family]);
    };
    return { IPv4: make('IPv4'), IPv6: make('IPv6') };
  };
  const newKernels = (): Readonly<Record<IPFamily, Kernel>> => ({ IPv4: new Map(), IPv6: new Map() });

  it(
    `incremental state equals state from scratch, ${LIVES} lives`,
    async () => {
      const options = await optionsOf(flagsOf(mode));
      const one = async (steps: readonly Step[]): Promise<void> => {
        const cluster = new Cluster();
        const kernels = newKernels();
        const program = new Program(options, backends(kernels), cluster);
        await program.sync();
        for (const step of steps) {
          cluster.change(step);
          program.tell(step);
          await program.sync();
        }
        const fresh = newKernels();
        const later = new Program(options, backends(fresh), cluster);
        await later.sync();
        for (const family of IP_FAMILIES) {
          const isWanted = (id: string): boolean => fresh[family].has(id);
          expect(contents(program.reconcilers[family].want, isWanted)).toEqual(contents(fresh[family], isWanted));
          expect(contents(kernels[family], isWanted)).toEqual(contents(fresh[family], isWanted));
        }
      };
      await fc.assert(fc.asyncProperty(life(8), one), { numRuns: LIVES });
    },
    MINUTES,
  );
});
