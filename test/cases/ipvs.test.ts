/**
 * The golden pages in mode ipvs: each is played on a kernel in memory that speaks netlink. What each step adds (`+`),
 * changes (`~`) and takes away (`-`) stands beside the page (NAME.ipvs.txt) in the words of ipset, ip and ipvsadm, written
 * by `vitest -u`.
 *
 * What the node needs anyway is the same on nearly every page: the page `node` has it all, and pages with flags have those
 * rules that are otherwise.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ipvsBackend } from '../../src/backends/ipvs/index.ts';
import type { DesiredIpvsObject } from '../../src/backends/ipvs/objects.ts';
import type { IpvsPayload } from '../../src/backends/ipvs/plan.ts';
import { diff } from '../../src/dataplane/desired.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import type { NodeOptions } from '../../src/model/node.ts';
import { compareText } from '../../src/model/order.ts';
import { MemoryKernel, SETTINGS } from '../backends/ipvs/memory-kernel.ts';
import { type Page, readPages } from './page.ts';
import { type Backends, Cluster, INTERFACES, optionsOf, Program, trackerOf } from './program.ts';

const PAGES = readPages();
const { signal } = new AbortController();

const newKernel = (): MemoryKernel => {
  const kernel = new MemoryKernel();
  kernel.links.add('eth0', '');
  for (const ip of INTERFACES) kernel.links.addAddress('eth0', ip, ip.includes(':') ? 64 : 24);
  return kernel;
};

const backendsOf = (kernel: MemoryKernel): Backends<DesiredIpvsObject, IpvsPayload> => ({
  IPv4: kernel.backend('IPv4'),
  IPv6: kernel.backend('IPv6'),
});

/** The kernel of a node that starts with everything there. */
const startedFresh = async (options: NodeOptions, cluster: Cluster): Promise<readonly string[]> => {
  const kernel = newKernel();
  await new Program(options, backendsOf(kernel), cluster).sync();
  return kernel.listing();
};

type Wanted = ReadonlyMap<string, DesiredIpvsObject>;

const ORDER: readonly DesiredIpvsObject['kind'][] = ['entry', 'address', 'virtual-server', 'real-server'];
const SIGNS = { add: '+', replace: '~', remove: '-' } as const;

/** What a step did for Services, line by line. */
const stepLines = (before: Wanted, after: Wanted): readonly string[] => {
  const changes = diff(before, after).flatMap(({ op, object }) => {
    const rank = ORDER.indexOf(object.kind);
    return rank === -1 ? [] : [{ op, object, key: `${rank} ${object.id}` }];
  });
  const { format } = ipvsBackend({ family: 'IPv4', settings: SETTINGS });
  return changes.sort((a, b) => compareText(a.key, b.key)).map(({ op, object }) => `${SIGNS[op]} ${format(object)}\n`);
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
const baseText = (family: IPFamily, options: NodeOptions): string => {
  const backend = ipvsBackend({ family, settings: SETTINGS });
  const { node } = trackerOf(options, new Cluster()).take(family);
  const parts = backend.print([{ title: 'base', objects: backend.base(node).objects }]);
  return parts.map(({ tool, text }) => (text === '' ? '' : `\n## ${family}, ${tool}\n${text}`)).join('');
};

/** All of it, or what flags make otherwise. */
const nodeText = async ({ name, flags }: Page, options: NodeOptions): Promise<string> => {
  const usual = await optionsOf({ 'proxy-mode': 'ipvs' });
  if (name === 'node') return IP_FAMILIES.map((family) => baseText(family, options)).join('');
  if (Object.keys(flags).length === 0) return '';
  const rules = IP_FAMILIES.flatMap((family) => {
    const known = new Set(baseText(family, usual).split('\n'));
    return baseText(family, options)
      .split('\n')
      .filter((line) => line.startsWith('-A ') && !known.has(line))
      .map((line) => `${family} ${line}\n`);
  });
  return `\n## rules that the flags make otherwise\n${rules.join('')}`;
};

it('no file of this mode is left of a page that is no more', () => {
  const names = readdirSync(new URL('.', import.meta.url)).flatMap((file) => /^(.*)\.ipvs\.txt$/.exec(file)?.[1] ?? []);
  expect(names.filter((name) => !PAGES.some((page) => page.name === name))).toEqual([]);
});

describe.each(PAGES.map((page) => [`${page.name}: ${page.title}`, page] as const))('%s', (_, page) => {
  it('step by step, with a restart after each, which writes nothing', async () => {
    const options = await optionsOf({ ...page.flags, 'proxy-mode': 'ipvs' });
    const cluster = new Cluster();
    const kernel = newKernel();
    let program = new Program(options, backendsOf(kernel), cluster);
    await program.sync();
    const outcomes: Outcome[] = [];
    for (const [i, step] of page.steps.entries()) {
      const before = new Map(IP_FAMILIES.map((family) => [family, new Map(program.reconcilers[family].want)]));
      cluster.change(step);
      program.tell(step);
      await program.sync();
      for (const family of IP_FAMILIES) {
        const { want } = program.reconcilers[family];
        const where = `step ${i + 1} of ${page.steps.length}: ${step.step}`;
        outcomes.push({ family, where, lines: stepLines(before.get(family) ?? new Map(), want) });
        const found = await kernel.backend(family).read(signal);
        expect(diff(found, want), `${step.step}: ${family}, the kernel and what is wanted`).toEqual([]);
      }
      const listing = kernel.listing();
      expect(listing, `${step.step}: as when started now`).toEqual(await startedFresh(options, cluster));
      expect(await program.audit(), step.step).toEqual([]);
      const written = kernel.rulesWritten;
      program = new Program(options, backendsOf(kernel), cluster);
      await program.sync();
      expect(kernel.listing(), `${step.step}: after the restart`).toEqual(listing);
      expect(kernel.rulesWritten, `${step.step}: rules written by the restart`).toBe(written);
    }
    const text = `## ${page.title}\n${await nodeText(page, options)}${outcomesText(outcomes)}`;
    await expect(text).toMatchFileSnapshot(`${page.name}.ipvs.txt`);
  });
});
