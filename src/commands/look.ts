/** For commands that look at the cluster once, and print what they see. */
import { nodeOptions } from '../config/node-options.ts';
import { OBJECT_KINDS } from '../model/kubernetes.ts';
import { Tracker, type TrackerOptions } from '../model/tracker.ts';
import type { Resource } from '../sources/resources.ts';
import { type Snapshot, snapshot } from '../sources/snapshot.ts';
import { openCluster, type Setup } from './setup.ts';

/** An API server that does not answer must not hold up a script for ever. */
const PATIENCE_MS = 60_000;

/** Everything that the source has, or of these resources alone. Throws when it takes too long. */
export const readObjects = async (
  setup: Setup,
  signal: AbortSignal,
  resources?: readonly Resource[],
): Promise<Snapshot> => {
  const { source } = await openCluster(setup, resources);
  const patience = AbortSignal.timeout(PATIENCE_MS);
  return snapshot(source, AbortSignal.any([signal, patience])).catch((error: unknown) => {
    if (patience.aborted) throw new Error(`not all objects could be read within ${PATIENCE_MS / 1_000} s`);
    throw error;
  });
};

/** A tracker that has these objects. Throws, saying what is missing, where no rules can be made of them. */
export const trackerOf = (
  setup: Setup,
  objects: Snapshot,
  interfaceAddresses?: TrackerOptions['interfaceAddresses'],
): Tracker => {
  const tracker = new Tracker({
    node: nodeOptions(setup.config, setup.nodeName),
    ...(interfaceAddresses === undefined ? {} : { interfaceAddresses }),
    onProblem: ({ kind, key, message }) =>
      setup.log.warn({ kind, object: key, error: message }, 'malformed object skipped'),
  });
  for (const kind of OBJECT_KINDS) tracker.replace(kind, objects[kind]);
  const missing = tracker.waitingFor();
  if (missing !== undefined) throw new Error(`rules cannot be made: ${missing}`);
  return tracker;
};

/** Waits until stdout took it all: a pipe's reader may be slow, and the process ends right after. */
export const write = (text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => {
      // a reader that has seen enough (`| head`) is no error
      if (error === undefined || error === null || (error as NodeJS.ErrnoException).code === 'EPIPE') resolve();
      else reject(error);
    };
    process.stdout.once('error', done);
    process.stdout.write(text, done);
  });
