/**
 * Changes that `run` would make: the kernel as it is read, against what the cluster asks of this node. Writes to stdout alone.
 * Leftovers of another mode are not compared.
 */
import { readNodeAddresses } from '../addresses/node-addresses.ts';
import { openBackends } from '../backends/index.ts';
import type { Opened } from '../backends/mode.ts';
import { compileAll } from '../dataplane/report.ts';
import type { IPFamily } from '../model/address.ts';
import { type Difference, differencesOf, differencesText, isDifference } from './difference.ts';
import { readObjects, trackerOf, write } from './look.ts';
import { checkRights } from './rights.ts';
import type { Setup } from './setup.ts';

export interface DiffOptions {
  readonly output: 'rules' | 'json';
  /** Both unless said. */
  readonly family: IPFamily | undefined;
  readonly signal: AbortSignal;
}

/** Gives whether there is no difference. Throws when the kernel or the cluster cannot be read. */
export const diff = async (setup: Setup, { output, family, signal }: DiffOptions): Promise<boolean> => {
  const { config, log } = setup;
  await checkRights(setup);
  const opened = await openBackends(config.mode, { config, readOnly: true }, signal);
  const backends = asked(opened, family, (one, reason) => log.warn({ ipFamily: one, reason }, 'family left alone'));
  const addresses = await readNodeAddresses(log);
  const tracker = trackerOf(setup, await readObjects(setup, signal), () => addresses);
  const families = new Map<IPFamily, readonly Difference[]>();
  for (const [one, backend] of backends) {
    const { state, problems } = compileAll(backend, tracker.take(one));
    for (const { owner, message } of problems) log.error({ owner, error: message }, 'cannot be compiled, left out');
    families.set(one, differencesOf(backend, state, await backend.read(signal)));
  }
  await write(output === 'json' ? asJson(families) : asText(config.mode, families));
  return [...families.values()].every((differences) => !differences.some(isDifference));
};

/** Throws for a family that was asked for and that this host cannot do. */
const asked = (
  { backends, unusable }: Opened,
  family: IPFamily | undefined,
  onUnusable: (family: IPFamily, reason: string) => void,
): Opened['backends'] => {
  if (family === undefined) {
    for (const [one, reason] of unusable) onUnusable(one, reason);
    return backends;
  }
  const backend = backends.get(family);
  if (backend === undefined) throw new Error(`${family}: ${unusable.get(family) ?? 'not in this mode'}`);
  return new Map([[family, backend]]);
};

type Families = ReadonlyMap<IPFamily, readonly Difference[]>;

const asText = (mode: string, families: Families): string =>
  [...families].map(([family, differences]) => differencesText(`${family}, mode ${mode}`, differences)).join('');

const asJson = (families: Families): string => `${JSON.stringify(Object.fromEntries(families), undefined, 2)}\n`;
