/** The main job: watches the cluster and keeps this node's kernel as it should be, until told to stop. */
import { networkInterfaces } from 'node:os';
import { type Opened, openBackends } from '../backends/index.ts';
import { nodeOptions } from '../config/node-options.ts';
import { Janitor, openFlows } from '../conntrack/janitor.ts';
import { Loop } from '../dataplane/loop.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import type { SyncReport } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import { Tracker } from '../model/tracker.ts';
import { Progress } from '../observe/progress.ts';
import { backendOptions } from './backend-options.ts';
import { openSource, type Setup } from './setup.ts';
import { VERSION } from './version.ts';

/** While something is awaited, the log says what, so often. */
const SAY_WAITING_MS = 30_000;
const FIRST_SAY_WAITING_MS = 5_000;

/** Runs until `signal` aborts; then the write under way is finished and the rules stay. */
export const run = async (setup: Setup, signal: AbortSignal): Promise<void> => {
  const { config, warnings, nodeName, log } = setup;
  for (const warning of warnings) log.warn(warning);
  const opened = await openBackends(config.mode, backendOptions(config), signal);
  const source = await openSource(setup);
  for (const [family, reason] of opened.unusable) log.warn({ ipFamily: family, reason }, 'family left alone');
  log.info({ version: VERSION, mode: config.mode, node: nodeName, tool: opened.description }, 'pointsman starts');
  const { tracker, loops, janitors, progress } = assemble(setup, opened, signal);
  const waiting = sayWhatIsAwaited(tracker, log);
  const looking = setInterval(() => tracker.refreshNode(), config[config.mode].syncPeriodMs);
  await source.run(tracker, signal);
  clearInterval(looking);
  waiting.stop();
  progress.stop();
  await Promise.all([...loops.values()].map((loop) => loop.stop()));
  await Promise.all(janitors.map((janitor) => janitor.stop()));
  log.info({ reason: String(signal.reason) }, 'pointsman stops, rules stay');
};

interface Assembly {
  readonly tracker: Tracker;
  readonly loops: ReadonlyMap<IPFamily, { request(): void; stop(): Promise<void> }>;
  readonly janitors: readonly Janitor[];
  readonly progress: Progress;
}

const assemble = ({ config, nodeName, log }: Setup, { backends }: Opened, signal: AbortSignal): Assembly => {
  const families = [...backends.keys()];
  const { syncPeriodMs, minSyncPeriodMs } = config[config.mode];
  const loops = new Map<IPFamily, { request(): void; stop(): Promise<void> }>();
  const tracker = new Tracker({
    node: nodeOptions(config, nodeName),
    families,
    interfaceAddresses,
    onChange: () => {
      for (const loop of loops.values()) loop.request();
    },
    onProblem: ({ kind, key, message }) => log.warn({ kind, object: key, error: message }, 'malformed object skipped'),
  });
  const progress = new Progress(families, log);
  const janitors: Janitor[] = [];
  for (const [family, backend] of backends) {
    const reconciler = new Reconciler(backend, {
      signal,
      lastRetryMs: syncPeriodMs,
      onProgress: (part) => progress.update(family, part),
      onNote: (owner, note) => log.warn({ ipFamily: family, owner, note }, 'not served as asked for'),
      onQuarantine: (owner, error) => log.error({ ipFamily: family, owner, error }, 'refused by the kernel, set aside'),
    });
    const work = {
      waitingFor: () => tracker.waitingFor(),
      hasWork: () => tracker.hasWork(family),
      take: () => tracker.take(family),
    };
    // after a failure the log says how things stand
    const onFailure = (): void => progress.stop();
    const janitor = new Janitor({ family, connection: openFlows(), localAddresses: interfaceAddresses, log });
    janitors.push(janitor);
    const onSync = ({ services, gone }: SyncReport): void => janitor.synced(services, gone);
    const watch = backend.watch?.bind(backend);
    const options = { name: family, minIntervalMs: minSyncPeriodMs ?? 0, syncPeriodMs, log, onFailure, onSync, watch };
    loops.set(family, new Loop(work, reconciler, options));
  }
  return { tracker, loops, janitors, progress };
};

/** The link on which mode ipvs puts the addresses of Services: they are not the node's own. */
const SERVICE_LINK = 'kube-ipvs0';

const interfaceAddresses = (): readonly string[] =>
  Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    name === SERVICE_LINK ? [] : (addresses ?? []).map(({ address }) => address),
  );

const sayWhatIsAwaited = (tracker: Tracker, log: Setup['log']): { stop(): void } => {
  let timer: NodeJS.Timeout | undefined;
  const say = (): void => {
    const awaited = tracker.waitingFor();
    if (awaited === undefined) return;
    log.warn(`no rule is changed yet: waiting for ${awaited}`);
    timer = setTimeout(say, SAY_WAITING_MS);
  };
  timer = setTimeout(say, FIRST_SAY_WAITING_MS);
  return { stop: () => clearTimeout(timer) };
};
