/** Shows it all at work on this machine, between network namespaces, and leaves nothing behind. */
import { setMaxListeners } from 'node:events';
import { constants } from 'node:os';
import { type Findings, formatRequests } from '../lab/demo/findings.ts';
import { findMissing } from '../lab/demo/needs.ts';
import { type DemoPage, openPage } from '../lab/demo/page.ts';
import { play } from '../lab/demo/play.ts';
import { withStage } from '../lab/demo/stage.ts';
import { removeLeftovers } from '../lab/network/cleaning.ts';

/** Ends early when `stopped` comes, its reason a signal's name; the exit status tells which, by the shell's custom. */
export const demo = async (stopped: AbortSignal): Promise<void> => {
  const signal = AbortSignal.any([stopped, whenNobodyReads()]);
  setMaxListeners(0, signal); // whatever is under way listens to it
  const page = openPage({
    write: (text) => process.stdout.write(text),
    inColour: process.stdout.isTTY === true && process.stdout.hasColors(),
  });
  try {
    await show(page, signal);
  } catch (error) {
    if (typeof error !== 'string' || error !== signal.reason) throw error;
    const name = error as NodeJS.Signals;
    if (name !== 'SIGPIPE') page.say('', `Stopped by ${name}. All that was made is removed.`);
    process.exitCode = 128 + constants.signals[name];
  }
};

/** As SIGPIPE ends a program whose reader has gone, such as `head`; node makes an error of that signal. */
const whenNobodyReads = (): AbortSignal => {
  const gone = new AbortController();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => gone.abort(error.code === 'EPIPE' ? 'SIGPIPE' : error));
  return gone.signal;
};

const show = async (page: DemoPage, signal: AbortSignal): Promise<void> => {
  const missing = await findMissing(signal);
  if (missing.length > 0) throw new Error(['the demo cannot run here, as it needs', ...missing].join('\n  '));
  const leftovers = await removeLeftovers();
  if (leftovers.length > 0) page.note(`Removed what an earlier run left behind, such as ${leftovers[0]}.`);
  const began = performance.now();
  const findings = await withStage(page, signal, play);
  summarize(page, findings, performance.now() - began);
};

const summarize = (page: DemoPage, { requests, claims }: Findings, elapsedMs: number): void => {
  const kept = claims.filter(({ isKept }) => isKept).length;
  const seconds = Math.round(elapsedMs / 1_000);
  page.section('What came of it');
  page.verdict({
    isKept: kept === claims.length,
    text: `${kept} of ${claims.length} claims kept; ${formatRequests(requests)}; ${seconds} seconds`,
  });
  page.say('All that was made is removed: namespaces, processes, files.');
  if (kept < claims.length) throw new Error(`claims that were not kept: ${claims.length - kept}`);
};
