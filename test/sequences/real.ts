/** One random life on a real kernel, whatever the mode. */
import { removeAll } from '../../src/dataplane/cleanup.ts';
import type { KernelObject } from '../../src/dataplane/contract.ts';
import { diff } from '../../src/dataplane/desired.ts';
import { IP_FAMILIES } from '../../src/model/address.ts';
import type { Step } from '../cases/page.ts';
import { type Backends, Cluster, optionsOf, Program } from '../cases/program.ts';

export const LIVES = 50;

const { signal } = new AbortController();

/** Gives what was not as it should be: after each sync, at a start at the end, and after cleaning up. */
export const liveThrough = async (
  mode: string,
  steps: readonly Step[],
  open: () => Backends<KernelObject, unknown>,
): Promise<readonly string[]> => {
  const options = await optionsOf({ 'proxy-mode': mode, 'nodeport-addresses': '0.0.0.0/0,::/0' });
  const backends = open();
  const cluster = new Cluster();
  const program = new Program(options, backends, cluster);
  const problems: string[] = [];
  try {
    await program.sync();
    for (const step of steps) {
      cluster.change(step);
      program.tell(step);
      await program.sync();
      for (const family of IP_FAMILIES) {
        const found = await backends[family].read(signal);
        const changes = diff(found, program.reconcilers[family].want);
        problems.push(...changes.map(({ op, object }) => `${step.step}: ${op} ${object.id} ${object.content}`));
      }
    }
    const later = new Program(options, open(), cluster);
    for (const family of IP_FAMILIES) {
      const { changes } = await later.reconcilers[family].sync(later.tracker.take(family));
      const written = changes.added + changes.replaced + changes.removed;
      if (written > 0) problems.push(`a start: ${JSON.stringify(changes)}`);
    }
  } finally {
    for (const family of IP_FAMILIES) await removeAll(backends[family], signal);
    // what both families use goes with the last one
    for (const family of IP_FAMILIES) {
      const { left } = await removeAll(backends[family], signal);
      problems.push(...left.map(({ id }) => `${id} is left`));
    }
  }
  return problems;
};
