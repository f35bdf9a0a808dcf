/**
 * The dry run: the complete rules in the tool's own language or its own JSON, where it has none the objects as JSON. Needs neither root nor kernel and
 * writes nothing anywhere but to stdout.
 */

import { offlineBackend } from '../backends/index.ts';
import type { AnyBackend } from '../backends/mode.ts';
import type { KernelObject, ToolInput } from '../dataplane/contract.ts';
import { compileAll } from '../dataplane/report.ts';
import { IP_FAMILIES, type IPFamily } from '../model/address.ts';
import { readObjects, trackerOf, write } from './look.ts';
import type { Setup } from './setup.ts';

export interface DumpOptions {
  readonly output: 'rules' | 'json';
  /** Rules are one tool's input, so of one family. */
  readonly family: IPFamily;
  /** Only the part that this tool would read. */
  readonly tool?: string | undefined;
  readonly signal: AbortSignal;
}

export const dump = async (setup: Setup, options: DumpOptions): Promise<void> => {
  const backends = new Map<IPFamily, AnyBackend>();
  for (const family of IP_FAMILIES) {
    backends.set(family, await offlineBackend(setup.config.mode, family, setup));
  }
  const tracker = trackerOf(setup, await readObjects(setup, options.signal));
  const compiled = new Map(
    [...backends].map(([family, backend]) => [family, compileAll(backend, tracker.take(family))]),
  );
  for (const { problems } of compiled.values()) {
    for (const { owner, message } of problems)
      setup.log.error({ owner, error: message }, 'cannot be compiled, left out');
  }
  if (options.output === 'json') {
    const own = backends.get(options.family)?.printJson?.(compiled.get(options.family)?.sections ?? []);
    if (own !== undefined) {
      await write(own);
      return;
    }
    const families = [...compiled].map(([family, { sections }]) => [family, sections.map(toJson)]);
    await write(`${JSON.stringify(Object.fromEntries(families), undefined, 2)}\n`);
    return;
  }
  const parts = backends.get(options.family)?.print(compiled.get(options.family)?.sections ?? []) ?? [];
  await write(joined(parts, options.tool));
};

/** A single part is a tool's input as it stands; of several each has a heading. */
const joined = (parts: readonly ToolInput[], tool: string | undefined): string => {
  const [only] = parts;
  if (only !== undefined && parts.length === 1 && (tool === undefined || tool === only.tool)) return only.text;
  if (tool === undefined) return parts.map(({ tool: name, text }) => `##### ${name}\n${text}`).join('\n');
  const chosen = parts.find(({ tool: name }) => name === tool);
  if (chosen !== undefined) return chosen.text;
  throw new Error(`this mode has no part ${tool}; there is: ${parts.map(({ tool: name }) => name).join(', ')}`);
};

const toJson = ({
  title,
  objects,
}: {
  readonly title: string;
  readonly objects: readonly KernelObject[];
}): unknown => ({
  owner: title,
  objects,
});
