/**
 * Runs with the configuration that the files hold, and when they hold another one runs anew with that, in the same process.
 * The rules stay in between, and are adopted as at any start.
 *
 * A configuration that cannot be read or is not valid changes nothing, and one that turns out not to work is given up for the
 * one before it: a typing error in a ConfigMap must not take the Services of all nodes away.
 */
import { isDeepStrictEqual } from 'node:util';
import { changesBetween } from '../config/changes.ts';
import type { Life } from '../observe/life.ts';
import { type Contents, readContents, untilOthers, type WatchTiming } from './file-watch.ts';
import type { Setup } from './setup.ts';

export interface ReloadOptions {
  /** The configuration to begin with. */
  readonly first: Setup;
  /** The configuration as the files have it now. Throws, saying what is wrong with it. */
  readonly load: () => Promise<Setup>;
  /** Whether the work could begin with it, without touching anything. Throws, saying what is missing. */
  readonly check: (setup: Setup) => Promise<void>;
  /** The work: ends when the signal aborts, and throws when it cannot be done. */
  readonly run: (setup: Setup, signal: AbortSignal) => Promise<void>;
  readonly life: Pick<Life, 'reloaded' | 'settled'>;
  readonly timing?: WatchTiming;
}

const TIMING: WatchTiming = { periodMs: 3_000, settleMs: 250 };

interface Next {
  readonly setup: Setup;
  readonly contents: Contents;
}

/** Until `signal` aborts. Throws what the work threw, where there is no configuration to go back to. */
export const runWithReloads = async (options: ReloadOptions, signal: AbortSignal): Promise<void> => {
  let current = options.first;
  /** The last one that worked. */
  let former: Setup | undefined;
  let seen: Contents = new Map();
  for (;;) {
    seen = await baseline(current, seen);
    const { next, failure } = await runUntilChanged(options, current, seen, signal);
    if (failure !== undefined && next === undefined) {
      if (former === undefined || signal.aborted) throw failure.error;
      current.log.error(
        { error: describe(failure.error) },
        'the new configuration does not work, the last one is back',
      );
      options.life.reloaded('reverted');
      [current, former] = [former, undefined];
      continue;
    }
    if (next === undefined || signal.aborted) return;
    if (failure === undefined) former = current;
    else current.log.error({ error: describe(failure.error) }, 'trouble with the former configuration');
    current = next.setup;
    seen = next.contents;
  }
};

interface Outcome {
  /** Undefined when the work ended by itself. */
  readonly next: Next | undefined;
  readonly failure: { readonly error: unknown } | undefined;
}

const runUntilChanged = async (
  options: ReloadOptions,
  current: Setup,
  contents: Contents,
  signal: AbortSignal,
): Promise<Outcome> => {
  const stop = new AbortController();
  const passOn = (): void => stop.abort(signal.reason);
  // by hand and taken back: the signal outlives any number of configurations
  signal.addEventListener('abort', passOn, { once: true });
  if (signal.aborted) passOn();
  const over = new AbortController();
  const running = options
    .run(current, stop.signal)
    .then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    .finally(() => over.abort());
  const next = await nextOf(options, current, contents, over.signal);
  if (next !== undefined) stop.abort('the configuration changed');
  const failure = await running;
  signal.removeEventListener('abort', passOn);
  return { next, failure };
};

/** The first usable configuration that is another one; undefined when the work is over before. */
const nextOf = async (
  options: ReloadOptions,
  current: Setup,
  inForce: Contents,
  over: AbortSignal,
): Promise<Next | undefined> => {
  for (let seen = inForce; ; ) {
    const contents = await untilOthers(seen, options.timing ?? TIMING, over);
    if (contents === undefined) return undefined;
    seen = contents;
    const setup = await candidate(options, current, inForce, contents);
    if (setup !== undefined) return { setup, contents };
  }
};

const candidate = async (
  { load, check, life }: ReloadOptions,
  current: Setup,
  inForce: Contents,
  contents: Contents,
): Promise<Setup | undefined> => {
  const { log } = current;
  try {
    const loaded = await load();
    const changes = [...changesBetween(current.config, loaded.config), ...kubeconfigChange(current, inForce, contents)];
    if (changes.length === 0) {
      life.settled();
      return undefined;
    }
    await check(loaded);
    log.info({ changes }, 'the configuration changed, starting anew with it');
    life.reloaded('applied');
    // a level that was set meanwhile stays, and so does where lines go
    return isDeepStrictEqual(current.config.logging, loaded.config.logging) ? { ...loaded, log } : loaded;
  } catch (error) {
    log.error({ error: describe(error) }, 'the changed configuration cannot be used, the one in force stays');
    life.reloaded('refused');
    return undefined;
  }
};

const kubeconfigChange = ({ config }: Setup, inForce: Contents, contents: Contents): readonly string[] => {
  const path = config.clientConnection.kubeconfig;
  return isDeepStrictEqual(inForce.get(path), contents.get(path)) ? [] : [`contents of ${path}`];
};

/** Never what a file holds: so the first look loads the configuration again, and no change since it was loaded is missed. */
const NOT_LOOKED_AT = { unreadable: 'not looked at yet' };

/** The files that count, with what they held when somebody looked last. */
const baseline = async ({ config }: Setup, seen: Contents): Promise<Contents> => {
  const { kubeconfig } = config.clientConnection;
  const ofSource = config.pointsman.source.kind === 'apiserver' && kubeconfig !== '' ? [kubeconfig] : [];
  const read = await readContents(ofSource);
  const ofConfig = config.configFile === undefined ? [] : [config.configFile];
  return new Map([
    ...ofConfig.map((path) => [path, seen.get(path) ?? NOT_LOOKED_AT] as const),
    ...ofSource.map((path) => [path, seen.get(path) ?? read.get(path) ?? NOT_LOOKED_AT] as const),
  ]);
};

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));
