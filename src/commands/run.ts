/** The main job: watches the cluster and keeps this node's kernel as it should be, until told to stop. */
import { NodeAddresses } from '../addresses/node-addresses.ts';
import { openBackends } from '../backends/index.ts';
import type { Opened } from '../backends/mode.ts';
import { periodsOf } from '../config/config.ts';
import { nodeOptions } from '../config/node-options.ts';
import type { Missing } from '../model/missing.ts';
import { Tracker } from '../model/tracker.ts';
import type { Life } from '../observe/life.ts';
import { Progress } from '../observe/progress.ts';
import { type Resource, resourcesFor, withoutServiceCIDRs } from '../sources/resources.ts';
import { watchAwaited } from './awaited.ts';
import { setConntrack } from './conntrack.ts';
import { type NodeEvents, openEvents } from './events.ts';
import { type FamilyAtWork, startFamily } from './family.ts';
import { onceAll, removeLeftovers } from './leftovers.ts';
import { Observing } from './observing.ts';
import { setOomScore } from './oom-score.ts';
import { openReviews } from './reviews.ts';
import { type ClusterAccess, openCluster, type Setup } from './setup.ts';
import { type StartupTaint, startupTaint } from './startup-taint.ts';
import { VERSION } from './version.ts';

/**
 * Runs until `signal` aborts; then the write under way is finished, all that was opened is closed, and the rules stay: so a
 * process may run again, with another configuration. Throws when this host cannot do what the configuration asks for.
 */
export const run = async (setup: Setup, life: Life, signal: AbortSignal): Promise<void> => {
  const { config, warnings, nodeName, log } = setup;
  for (const warning of warnings) log.warn(warning);
  await setOomScore(config.oomScoreAdj, log);
  await setConntrack(setup);
  const options = { config, warn: (message: string) => log.warn(message) };
  const opened = await openBackends(config.mode, options, signal);
  try {
    log.info({ version: VERSION, mode: config.mode, node: nodeName, tool: opened.description }, 'pointsman starts');
    await serve(setup, life, opened, signal);
  } finally {
    opened.close();
  }
  log.info({ reason: String(signal.reason) }, 'pointsman stops, rules stay');
};

const serve = async (setup: Setup, life: Life, opened: Opened, signal: AbortSignal): Promise<void> => {
  const access = await openCluster(setup, watched(setup));
  const events = await openEvents(setup, access.connection);
  const reviews = await openReviews(setup, access.connection);
  const observing = new Observing(setup, life, [...opened.backends.keys()], access.source, events, reviews?.authorize);
  observing.lacks(lackingFamilies(opened));
  access.connection?.listen(observing.requests);
  try {
    await observing.start();
    events.starting();
    await work({ setup, opened, access, observing, events }, signal);
  } finally {
    reviews?.stop();
    await observing.stop();
    await events.stop();
    access.connection?.close();
  }
};

/** A family that a module or a program is missing for; the reason names it. */
const lackingFamilies = ({ unusable }: Pick<Opened, 'unusable'>): readonly Missing[] =>
  [...unusable].map(([family, reason]) => ({
    what: `IP family ${family}`,
    why: `${reason}; no Service is served in it until the next start`,
  }));

const watched = ({ config, nodeName }: Setup): readonly Resource[] => {
  const all = resourcesFor(nodeName);
  return config.profile.needs.serviceCIDRs ? all : withoutServiceCIDRs(all);
};

interface Parts {
  readonly setup: Setup;
  readonly opened: Opened;
  readonly access: ClusterAccess;
  readonly observing: Observing;
  readonly events: NodeEvents;
}

const work = async (parts: Parts, signal: AbortSignal): Promise<void> => {
  const { setup, access, observing, events } = parts;
  const { config, log } = setup;
  const addresses = await NodeAddresses.open({ log, onChange: () => tracker.refreshNode() });
  const taint = startupTaint(setup, access.connection, events, signal);
  const { tracker, families, progress, leftovers } = assemble(parts, addresses, taint, signal);
  const awaited = watchAwaited({ tracker, missing: () => observing.missing(), log, events });
  // the kernel tells what changes: this is for what it should have missed
  const looking = setInterval(() => addresses.check(), periodsOf(config).syncPeriodMs);
  await access.source.run(taint.listenIn(observing.listenIn(tracker)), signal);
  clearInterval(looking);
  awaited.stop();
  progress.stop();
  await addresses.close();
  await Promise.all(families.map((family) => family.stop()));
  await leftovers();
};

interface Assembly {
  readonly tracker: Tracker;
  readonly families: readonly FamilyAtWork[];
  readonly progress: Progress;
  /** Resolves when what was begun of taking leftovers away has ended: what comes next may be what they are of. */
  readonly leftovers: () => Promise<void>;
}

const assemble = (parts: Parts, nodeAddresses: NodeAddresses, taint: StartupTaint, signal: AbortSignal): Assembly => {
  const { setup, opened, observing, events } = parts;
  const { config, nodeName, log } = setup;
  const { backends } = opened;
  const families: FamilyAtWork[] = [];
  const interfaceAddresses = (): readonly string[] => nodeAddresses.addresses;
  const tracker = new Tracker({
    node: nodeOptions(config, nodeName),
    families: [...backends.keys()],
    interfaceAddresses,
    onChange: () => {
      for (const family of families) family.request();
    },
    onProblem: ({ kind, key, message }) => log.warn({ kind, object: key, error: message }, 'malformed object skipped'),
  });
  const progress = new Progress([...backends.keys()], log);
  const { health, records } = observing;
  let removing = Promise.resolve();
  const onFirstSync = onceAll(backends.keys(), () => {
    taint.ready();
    removing = removeLeftovers(setup, events, signal);
  });
  for (const [family, backend] of backends) {
    const record = records.get(family);
    if (record === undefined) continue;
    const own = { family, backend, tracker, progress, record, health, interfaceAddresses, events, onFirstSync };
    families.push(startFamily(setup, own, signal));
  }
  return { tracker, families, progress, leftovers: () => removing };
};
