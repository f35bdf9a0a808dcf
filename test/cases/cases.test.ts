/**
 * The golden pages: Kubernetes objects in, step by step; resolved endpoints and iptables rules out.
 *
 * A page (NAME.yaml) says what its steps mean for the model; the rules stand beside it (NAME.iptables.txt) and are
 * written by `vitest -u`. Every page is also run with writes that fail and with restarts, and must end the same.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { removeAll } from '../../src/dataplane/cleanup.ts';
import { diff } from '../../src/dataplane/desired.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { FAULTS, type FaultName, leftKernels, objectsIn } from './memory-backend.ts';
import { type Page, readPages, type Step } from './page.ts';
import {
  backendsOf,
  type Node,
  newNode,
  perform,
  type State,
  startedFresh,
  stateOf,
  undisturbed,
  writesOf,
} from './play.ts';
import { Program, trackerOf } from './program.ts';
import { modelText, type Outcome, outputText, rulesText } from './shown.ts';

const PAGES = readPages();

/** Everything that the step's place in the page says of the model, and of how owners stand. */
const checkModel = (step: Step, { options, cluster, program }: Node): void => {
  const fresh = trackerOf(options, cluster);
  for (const family of IP_FAMILIES) {
    expect(modelText(fresh.take(family).services), `${step.step}: ${family}`).toEqual(step.model[family]);
    const unsettled = program.reconcilers[family].statuses().filter(({ state }) => state !== 'Done');
    const expected = Object.entries(step.shadowed).filter(([owner]) => owner in step.model[family]);
    expect(unsettled.map(({ owner, state, message }) => [owner, `${state}: ${message}`])).toEqual(
      expected.map(([owner, message]) => [owner, `Shadowed: ${message}`]),
    );
  }
  const problems = program.tracker.problems.map(({ kind, key, message }) => `${kind} ${key}: ${message}`);
  expect(problems, step.step).toEqual(step.problems);
};

/** One step in one family: what it changed in the kernel is what was written, and no more than had to be. */
const playStep = async (
  family: IPFamily,
  step: Step,
  page: Page,
  node: Node,
  written: Set<string>,
): Promise<Outcome> => {
  const before = objectsIn(node.kernels[family], family);
  written.clear();
  await node.program.syncFamily(family);
  const after = objectsIn(node.kernels[family], family);
  const changes = diff(before, after);
  const signs = { add: '+', replace: '~', remove: '-' } as const;
  const lines = changes.map(({ op, object }) => ({ id: object.id, line: `${signs[op]} ${object.id}` }));
  expect([...written].sort(), `${step.step}: ${family}, what is written`).toEqual(lines.map(({ id }) => id).sort());
  const wanted = node.program.reconcilers[family].want;
  expect(diff(after, wanted), `${step.step}: ${family}, the kernel and what is wanted`).toEqual([]);
  const work = trackerOf(node.options, node.cluster).take(family);
  const changed = new Set(lines.map(({ id }) => id));
  const isShown = (id: string): boolean => changed.has(id) || (page.whole && step === page.steps[0]);
  const sorted = lines.map(({ line }) => line).sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1));
  return { family, step: step.step, written: sorted, rules: rulesText(work, isShown) };
};

it('no file of rules is left of a page that is no more', () => {
  const names = readdirSync(new URL('.', import.meta.url)).flatMap(
    (file) => /^(.*)\.iptables\.txt$/.exec(file)?.[1] ?? [],
  );
  expect(names.filter((name) => !PAGES.some((page) => page.name === name))).toEqual([]);
});

/** A chain that was there before and should not be any more. */
const isGone = (id: string, before: State = [], after: State = []): boolean =>
  before.some((chains) => id in chains) && after.some((chains) => !(id in chains));

describe.each(PAGES.map((page) => [`${page.name}: ${page.title}`, page] as const))('%s', (_, page) => {
  it('step by step', async () => {
    const written = new Set<string>();
    const onWrite = (ids: readonly string[]): void => {
      for (const id of ids) written.add(id);
    };
    const node = await newNode(page, { onWrite });
    const outcomes: Outcome[] = [];
    for (const step of page.steps) {
      perform(step, node.cluster, node.program);
      for (const family of IP_FAMILIES) outcomes.push(await playStep(family, step, page, node, written));
      checkModel(step, node);
      expect(stateOf(node.kernels), `${step.step}: as when started now`).toEqual(await startedFresh(node));
    }
    await expect(outputText(page, outcomes)).toMatchFileSnapshot(`${page.name}.iptables.txt`);
    const backends = backendsOf(node.kernels);
    for (const family of IP_FAMILIES) await removeAll(backends[family], new AbortController().signal);
    expect(stateOf(node.kernels), 'after clean-up').toEqual(stateOf(leftKernels(node.kernels)));
  });

  const faults = Object.keys(FAULTS) as readonly FaultName[];
  it.each(faults.flatMap((fault) => [[fault, 2] as const, [fault, 3] as const]))(
    'when %s, at one write in %i',
    async (fault, nth) => {
      const expected = await undisturbed(page);
      // the first write of the start fails, and the first of each step
      let writes = nth - 1;
      let failed = 0;
      let failing = true;
      const faultOf = (): FaultName | undefined => {
        writes += 1;
        if (!failing || writes % nth !== 0) return undefined;
        failed += 1;
        return fault;
      };
      const { cluster, program, kernels } = await newNode(page, { faultOf });
      for (const [i, step] of page.steps.entries()) {
        perform(step, cluster, program);
        writes = nth - 1;
        failing = true;
        await program.sync();
        failing = false;
        const [before, after] = expected.states.slice(i);
        // what the kernel would not remove is left for an audit; nothing else is
        const left = await program.audit();
        expect(left.filter((id) => !isGone(id, before, after))).toEqual([]);
        expect(stateOf(kernels), step.step).toEqual(after);
      }
      expect(failed).toBeGreaterThan(expected.wrote ? 1 : 0);
    },
  );

  it('with a restart after each step, which writes nothing', async () => {
    const expected = await undisturbed(page);
    const { options, cluster, kernels, program: first } = await newNode(page);
    let program = first;
    for (const [i, step] of page.steps.entries()) {
      perform(step, cluster, program);
      await program.sync();
      expect(stateOf(kernels), step.step).toEqual(expected.states[i + 1]);
      const writes = writesOf(kernels);
      program = new Program(options, backendsOf(kernels), cluster);
      await program.sync();
      expect(writesOf(kernels), `${step.step}: writes of the restart`).toBe(writes);
      expect(stateOf(kernels), `${step.step}: after the restart`).toEqual(expected.states[i + 1]);
    }
  });

  it('with all steps taken while the program was not running', async () => {
    const { options, cluster, kernels } = await newNode(page);
    for (const step of page.steps) cluster.change(step);
    await new Program(options, backendsOf(kernels), cluster).sync();
    expect(stateOf(kernels)).toEqual((await undisturbed(page)).states.at(-1));
  });
});
