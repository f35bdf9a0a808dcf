/**
 * The golden pages in mode nftables: each is played on nf_tables in memory. What each step adds to the kernel (`+`) and
 * takes away (`-`) stands beside the page (NAME.nftables.txt) in nft's words, written by `vitest -u`.
 *
 * What the node needs anyway is the same on nearly every page: the page `node` has it all, and pages with flags have those
 * rules that are otherwise.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { nftFamily } from '../../src/backends/nftables/names.ts';
import type { NftObject } from '../../src/backends/nftables/objects.ts';
import type { NftPayload } from '../../src/backends/nftables/plan.ts';
import { removeAll } from '../../src/dataplane/cleanup.ts';
import { diff } from '../../src/dataplane/desired.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import type { NodeOptions } from '../../src/model/node.ts';
import { compareText } from '../../src/model/order.ts';
import { ERRNO } from '../../src/netlink/error.ts';
import { type Fault, MemoryNft } from '../backends/nftables/memory-nft.ts';
import { comparable, listingOf } from '../backends/nftables/world.ts';
import { type Page, readPages, type Step } from './page.ts';
import { type Backends, Cluster, optionsOf, Program, trackerOf } from './program.ts';

const PAGES = readPages();
const { signal } = new AbortController();

const backendsOf = (kernel: MemoryNft, { flags }: Pick<Page, 'flags'>): Backends<NftObject, NftPayload> => {
  const common = { sockets: kernel.sockets(), counts: isCounted(flags) };
  return {
    IPv4: nftablesBackend({ family: 'IPv4', ...common }),
    IPv6: nftablesBackend({ family: 'IPv6', ...common }),
  };
};

const isCounted = (flags: Page['flags']): boolean => Number(flags['service-metrics'] ?? 0) > 0;

const nodeOptionsOf = (page: Page): Promise<NodeOptions> => optionsOf({ ...page.flags, 'proxy-mode': 'nftables' });

/** Both families, without what may be otherwise after another way to the same end. */
const stateOf = async (kernel: MemoryNft): Promise<readonly (readonly string[])[]> => [
  comparable(await listingOf(kernel, 'ip')),
  comparable(await listingOf(kernel, 'ip6')),
];

/** The kernel of a node that starts with everything there. */
const startedFresh = async (
  page: Page,
  options: NodeOptions,
  cluster: Cluster,
): Promise<readonly (readonly string[])[]> => {
  const kernel = new MemoryNft();
  await new Program(options, backendsOf(kernel, page), cluster).sync();
  return stateOf(kernel);
};

const perform = (step: Step, cluster: Cluster, program: Program<NftObject, NftPayload>): void => {
  cluster.change(step);
  program.tell(step);
};

const KINDS = ['set', 'map', 'chain', 'rule', 'element'];

/** Sets first, then chains with what stands in them, then elements. */
const rankOf = (line: string): string => {
  const [kind = '', name = ''] = line.split(' ');
  return kind === 'rule' ? `${KINDS.indexOf('chain')} ${name} 1` : `${KINDS.indexOf(kind)} ${name} 0`;
};

/** What a step did, line by line; rules of a chain in their order. */
const stepLines = (before: readonly string[], after: readonly string[]): readonly string[] => {
  const changed = [
    ...before.filter((line) => !after.includes(line)).map((line) => ({ sign: '-', line })),
    ...after.filter((line) => !before.includes(line)).map((line) => ({ sign: '+', line })),
  ];
  const order = (line: string): string => (line.startsWith('element') ? line : '');
  return changed
    .sort((a, b) => compareText(rankOf(a.line), rankOf(b.line)) || compareText(order(a.line), order(b.line)))
    .map(({ sign, line }) => `${sign} ${line}\n`);
};

interface Outcome {
  readonly family: IPFamily;
  readonly where: string;
  readonly lines: readonly string[];
}

const outcomesText = (outcomes: readonly Outcome[]): string =>
  IP_FAMILIES.map((family) => {
    const own = outcomes.filter((outcome) => outcome.family === family);
    if (own.every(({ lines }) => lines.length === 0)) return `\n## ${family}: nothing\n`;
    const texts = own.map(({ where, lines }) => {
      const text = lines.length === 0 ? '## nothing is written\n' : lines.join('');
      return `\n## ${family}, ${where}\n${text}`;
    });
    return texts.join('');
  }).join('');

/** What the node needs whatever its Services. */
const baseText = (family: IPFamily, options: NodeOptions, flags: Page['flags']): string => {
  const backend = nftablesBackend({ family, counts: isCounted(flags) });
  const { node } = trackerOf(options, new Cluster()).take(family);
  const [part] = backend.print([{ title: 'base', objects: backend.base(node).objects }]);
  return `\n## ${family}\n${part?.text ?? ''}`;
};

/** All of it, or what flags make otherwise. */
const nodeText = async ({ name, flags }: Page, options: NodeOptions): Promise<string> => {
  if (name === 'node') return IP_FAMILIES.map((family) => baseText(family, options, flags)).join('');
  if (Object.keys(flags).length === 0) return '';
  const usual = await optionsOf({ 'proxy-mode': 'nftables' });
  const lines = IP_FAMILIES.flatMap((family) => {
    const [before, after] = (
      [
        [usual, {}],
        [options, flags],
      ] as const
    ).map(([one, own]) =>
      baseText(family, one, own)
        .split('\n')
        .flatMap((line) => /^add (.*)$/.exec(line)?.[1]?.replace(/^(\S+) (?:ip6?) kube-proxy/, `${family} $1`) ?? []),
    );
    return stepLines(before ?? [], after ?? []);
  });
  return `\n## what the flags make otherwise\n${lines.join('')}`;
};

/** In the order in which the kernel lists them: rules by chain, then the others. */
const linesIn = async (kernel: MemoryNft, family: IPFamily): Promise<readonly string[]> =>
  listingOf(kernel, nftFamily(family), { isSorted: false });

it('no file of this mode is left of a page that is no more', () => {
  const names = readdirSync(new URL('.', import.meta.url)).flatMap(
    (file) => /^(.*)\.nftables\.txt$/.exec(file)?.[1] ?? [],
  );
  expect(names.filter((name) => !PAGES.some((page) => page.name === name))).toEqual([]);
});

const FAULTS: Readonly<Record<string, Fault>> = {
  'the kernel has no memory': { as: 'whole', errno: ERRNO.ENOMEM },
  'the answer to what is done is lost': { as: 'answer', errno: ERRNO.ENOBUFS, isDone: true },
  'the kernel refuses without saying what': { as: 'whole', errno: ERRNO.EINVAL },
  'the kernel refuses the first of it': { as: 'message', errno: ERRNO.EINVAL },
};

describe.each(PAGES.map((page) => [`${page.name}: ${page.title}`, page] as const))('%s', (_, page) => {
  it('step by step, with a restart after each, which writes nothing', async () => {
    const options = await nodeOptionsOf(page);
    const cluster = new Cluster();
    const kernel = new MemoryNft();
    let program = new Program(options, backendsOf(kernel, page), cluster);
    await program.sync();
    const outcomes: Outcome[] = [];
    for (const [i, step] of page.steps.entries()) {
      const before = { IPv4: await linesIn(kernel, 'IPv4'), IPv6: await linesIn(kernel, 'IPv6') };
      perform(step, cluster, program);
      await program.sync();
      for (const family of IP_FAMILIES) {
        const where = `step ${i + 1} of ${page.steps.length}: ${step.step}`;
        outcomes.push({ family, where, lines: stepLines(before[family], await linesIn(kernel, family)) });
        const found = await backendsOf(kernel, page)[family].read(signal);
        const { want } = program.reconcilers[family];
        expect(
          diff(found, want).filter(({ op, object }) => op !== 'remove' || object.stays !== true),
          `${step.step}: ${family}, the kernel and what is wanted`,
        ).toEqual([]);
      }
      expect(await stateOf(kernel), `${step.step}: as when started now`).toEqual(
        await startedFresh(page, options, cluster),
      );
      expect(await program.audit(), step.step).toEqual([]);
      const written = kernel.transactions.length;
      program = new Program(options, backendsOf(kernel, page), cluster);
      await program.sync();
      expect(kernel.transactions.length, `${step.step}: written by the restart`).toBe(written);
    }
    const text = `## ${page.title}\n${await nodeText(page, options)}${outcomesText(outcomes)}`;
    await expect(text).toMatchFileSnapshot(`${page.name}.nftables.txt`);
    const backends = backendsOf(kernel, page);
    for (const family of IP_FAMILIES) await removeAll(backends[family], signal);
    expect(await stateOf(kernel), 'after clean-up').toEqual([[], []]);
  });

  it.each(Object.entries(FAULTS).flatMap(([name, fault]) => [[name, fault, 2] as const, [name, fault, 3] as const]))(
    'when %s, at one write in %3$i',
    async (_name, fault, nth) => {
      const options = await nodeOptionsOf(page);
      const cluster = new Cluster();
      const kernel = new MemoryNft();
      const program = new Program(options, backendsOf(kernel, page), cluster);
      await program.sync();
      for (const step of page.steps) {
        perform(step, cluster, program);
        // the first write of each step fails
        let writes = nth - 1;
        kernel.fault = () => {
          writes += 1;
          return writes % nth === 0 ? fault : undefined;
        };
        await program.sync();
        kernel.fault = () => undefined;
        // what the kernel would not remove is left for an audit; nothing else is
        const left = await program.audit();
        expect(left.filter((id) => !/^(?:set (?:sticky|departed)-|chain (?:affinity|remember)-)/.test(id))).toEqual([]);
        expect(await stateOf(kernel), step.step).toEqual(await startedFresh(page, options, cluster));
      }
    },
  );

  it('with all steps taken while the program was not running', async () => {
    const options = await nodeOptionsOf(page);
    const cluster = new Cluster();
    const kernel = new MemoryNft();
    await new Program(options, backendsOf(kernel, page), cluster).sync();
    for (const step of page.steps) cluster.change(step);
    await new Program(options, backendsOf(kernel, page), cluster).sync();
    expect(await stateOf(kernel)).toEqual(await startedFresh(page, options, cluster));
  });
});
