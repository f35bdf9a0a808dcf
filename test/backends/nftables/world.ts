/** The engine over nf_tables in memory, and what is in there, line by line. */
import { type NftablesBackend, nftablesBackend } from '../../../src/backends/nftables/index.ts';
import { type NftFamily, nftFamily, TABLE } from '../../../src/backends/nftables/names.ts';
import type { NftObject } from '../../../src/backends/nftables/objects.ts';
import type { NftPayload } from '../../../src/backends/nftables/plan.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import type { SyncReport } from '../../../src/dataplane/status.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import type { NodeContext } from '../../../src/model/node.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { decodeElement, elementFormat, keyOf } from '../../../src/nftables-json/elements.ts';
import type { Command, Element } from '../../../src/nftables-json/schema.ts';
import { formatElement, formatHook, formatShape, formatStatements } from '../../../src/nftables-json/text.ts';
import { input } from '../../dataplane/fake-backend.ts';
import { nodeOf } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';

export const NO_DRIFT = { missing: [], changed: [], foreign: [] };
export const NOTHING_CHANGED = { added: 0, replaced: 0, removed: 0 };

export const backendOver = (kernel: MemoryNft, family: IPFamily = 'IPv4', counts = false): NftablesBackend =>
  nftablesBackend({ family, sockets: kernel.sockets(), counts });

export interface Life {
  readonly backend: NftablesBackend;
  readonly reconciler: Reconciler<NftObject, NftPayload>;
  /** `owner: why`, of those that the kernel refused. */
  readonly refused: readonly string[];
  readonly sync: (services: readonly ServiceEndpoints[], gone?: readonly string[]) => Promise<SyncReport>;
}

/** One life of the program over a kernel. */
export const start = (
  kernel: MemoryNft,
  family: IPFamily = 'IPv4',
  node: NodeContext = nodeOf(family),
  counts = false,
): Life => {
  const refused: string[] = [];
  const backend = backendOver(kernel, family, counts);
  const reconciler = new Reconciler(backend, {
    signal: new AbortController().signal,
    onQuarantine: (owner, message) => refused.push(`${owner}: ${message}`),
  });
  // and who is to be forgotten is
  const sync = async (services: readonly ServiceEndpoints[], gone: readonly string[] = []) => {
    const report = await reconciler.sync(input(services, gone, node));
    await backend.settled();
    return report;
  };
  return { backend, reconciler, refused, sync };
};

/** All of a table in nft's words; of clients that are remembered, not for how much longer, and nothing of what was counted. */
export const listingOf = async (
  kernel: MemoryNft,
  family: NftFamily = 'ip',
  { table = TABLE, isSorted = true }: { readonly table?: string; readonly isSorted?: boolean } = {},
): Promise<readonly string[]> => {
  const reader = kernel.sockets().openReader();
  const found = reader.list(family, table);
  if (found === undefined) return [];
  const lines = [
    ...found.chains.map((chain) => `chain ${chain.name}${formatHook(chain)}`),
    ...found.rules.map(({ chain, expr }) => `rule ${chain} ${formatStatements(expr)}`),
  ];
  for (const { declaration, isKnown } of found.sets) {
    const { name, map } = declaration;
    lines.push(`${map === undefined ? 'set' : 'map'} ${name} { ${formatShape(declaration)} }`);
    if (!isKnown) continue;
    await reader.visit(declaration, (element) => lines.push(`element ${name} { ${formatElement(lasting(element))} }`));
  }
  return isSorted ? lines.sort() : lines;
};

const lasting = (element: Element): Element => {
  const key = keyOf(element);
  if (typeof key !== 'object' || !('elem' in key)) return element;
  const { expires: _expires, counter: _counter, ...elem } = key.elem;
  return Array.isArray(element) ? [{ elem }, element[1]] : { elem };
};

/** The same as commands that would make it, all at one moment. */
export const commandsFor = (kernel: MemoryNft, family: NftFamily = 'ip'): readonly Command[] => {
  const found = kernel.sockets().openReader().list(family, TABLE);
  if (found === undefined) return [];
  const sets = found.sets.filter(({ isKnown }) => isKnown).map(({ declaration }) => declaration);
  return [
    ...sets.map((set): Command => ({ add: { set } })),
    ...found.chains.map((chain): Command => ({ add: { chain } })),
    ...found.rules.map((rule): Command => ({ add: { rule } })),
    ...sets.map((set): Command => {
      const contents = kernel.contents(family, set.name);
      const found = contents.map((content) => decodeElement(elementFormat(set), content));
      const elem = found.filter((element) => element !== undefined);
      return { add: { element: { family, table: TABLE, name: set.name, elem } } };
    }),
  ];
};

/** Lines of elements of these sets. */
export const elementsIn = async (
  kernel: MemoryNft,
  sets: readonly string[],
  family: NftFamily = 'ip',
): Promise<readonly string[]> =>
  (await listingOf(kernel, family)).filter((line) => sets.some((set) => line.startsWith(`element ${set} {`)));

const SLOT = /^element (\S*endpoints) \{ (.*) \. (\d+) : (.*) \}$/;

/**
 * The same without what may be otherwise after another way to the same wishes: the number of each slot, and chains of classes
 * that nothing leads to any more. Slots have no gaps from 0 on, or this is an error.
 */
export const comparable = (lines: readonly string[]): readonly string[] => {
  const slots = new Map<string, number[]>();
  const plain = withoutIdle(lines).map((line) => {
    const [, set, key, slot, data] = SLOT.exec(line) ?? [];
    if (slot === undefined) return line;
    const where = `${set} ${key}`;
    slots.set(where, [...(slots.get(where) ?? []), Number(slot)]);
    return `element ${where} : ${data}`;
  });
  for (const [where, numbers] of slots) {
    const isDense = numbers.sort((a, b) => a - b).every((number, i) => number === i);
    if (!isDense) throw new Error(`${where} has slots ${numbers.join(' ')}`);
  }
  return plain.sort();
};

const CLASS_LINE = /^(?:chain|rule) ((?:nodeport-)?(?:local-)?(?:external-)?(?:pick|sticky)-\d+)(?: |$)/;

/** Chains of classes stay for whoever has as many endpoints next; they may lead to each other. */
const withoutIdle = (lines: readonly string[]): readonly string[] => {
  const used = new Set(lines.flatMap((line) => /goto (\S+)/.exec(line)?.[1] ?? []));
  const left = lines.filter((line) => {
    const name = CLASS_LINE.exec(line)?.[1];
    return name === undefined || used.has(name);
  });
  return left.length === lines.length ? left : withoutIdle(left);
};

/** The table of a node that starts with these Services, slots left out. */
export const freshListing = async (
  services: readonly ServiceEndpoints[],
  family: IPFamily = 'IPv4',
  node: NodeContext = nodeOf(family),
): Promise<readonly string[]> => {
  const kernel = new MemoryNft();
  await start(kernel, family, node).sync(services);
  return comparable(await listingOf(kernel, nftFamily(family)));
};
