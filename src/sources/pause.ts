import { setTimeout as sleep } from 'node:timers/promises';

/** Waits; returns early, without an error, when aborted. */
export const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
  if (ms <= 0 || signal.aborted) return;
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
};
