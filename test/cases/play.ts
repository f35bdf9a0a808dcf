/** Plays a page on a node whose iptables are in memory. */
import type { DesiredIptablesObject } from '../../src/backends/iptables/objects.ts';
import type { IptablesPayload } from '../../src/backends/iptables/plan.ts';
import { IP_FAMILIES } from '../../src/model/address.ts';
import type { NodeOptions } from '../../src/model/node.ts';
import { type Kernels, type MemoryBackendOptions, memoryBackend, newKernels } from './memory-backend.ts';
import { chainsIn } from './memory-iptables.ts';
import type { Page, Step } from './page.ts';
import { type Backends, Cluster, optionsOf, Program } from './program.ts';

/** Everything about the node while a page is played. */
export interface Node {
  readonly options: NodeOptions;
  readonly cluster: Cluster;
  readonly kernels: Kernels;
  /** The program's present life. */
  readonly program: Program<DesiredIptablesObject, IptablesPayload>;
}

export type State = readonly Readonly<Record<string, readonly string[]>>[];

/** What is in both kernels, comparable. */
export const stateOf = (kernels: Kernels): State => IP_FAMILIES.map((family) => chainsIn(kernels[family].save()));

/** How many writes both kernels have taken. */
export const writesOf = ({ IPv4, IPv6 }: Kernels): number => IPv4.restores + IPv6.restores;

export const backendsOf = (
  kernels: Kernels,
  options?: MemoryBackendOptions,
): Backends<DesiredIptablesObject, IptablesPayload> => ({
  IPv4: memoryBackend('IPv4', kernels.IPv4, options),
  IPv6: memoryBackend('IPv6', kernels.IPv6, options),
});

/** A node on which the program has started before there was any Service. */
export const newNode = async (page: Page, backendOptions?: MemoryBackendOptions): Promise<Node> => {
  const options = await optionsOf(page.flags);
  const cluster = new Cluster();
  const kernels = newKernels();
  const program = new Program(options, backendsOf(kernels, backendOptions), cluster);
  await program.sync();
  return { options, cluster, kernels, program };
};

/** The kernels of a node on which the program starts with everything there. */
export const startedFresh = async ({ options, cluster }: Node): Promise<State> => {
  const kernels = newKernels();
  await new Program(options, backendsOf(kernels), cluster).sync();
  return stateOf(kernels);
};

export interface Undisturbed {
  /** Of the kernels, at the start and after each step. */
  readonly states: readonly State[];
  /** Whether anything was written at all. */
  readonly wrote: boolean;
}

/** A page played with nothing going wrong. */
export const undisturbed = async (page: Page): Promise<Undisturbed> => {
  const { cluster, program, kernels } = await newNode(page);
  const states: State[] = [stateOf(kernels)];
  const before = writesOf(kernels);
  for (const step of page.steps) {
    perform(step, cluster, program);
    await program.sync();
    states.push(stateOf(kernels));
  }
  return { states, wrote: writesOf(kernels) > before };
};

/** The cluster changes, and the program hears of it. */
export const perform = (
  step: Step,
  cluster: Cluster,
  program: Pick<Program<DesiredIptablesObject, IptablesPayload>, 'tell'>,
): void => {
  cluster.change(step);
  program.tell(step);
};
