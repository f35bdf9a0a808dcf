/** How readily the kernel ends this process when memory is short, as the configuration wants it. */
import type { BaseLogger } from 'pino';
import { fallbackAt } from '../config/fields.ts';
import { writeOomScore } from '../kernel/oom-score.ts';

/**
 * Never fails: a proxy that does not start is worse. To ask for less than one has takes CAP_SYS_RESOURCE, so that the default
 * cannot be had is worth no warning: nobody asked for it.
 */
export const setOomScore = async (score: number, log: Pick<BaseLogger, 'warn' | 'debug'>): Promise<void> => {
  const refusal = await writeOomScore(score);
  if (refusal === undefined) return;
  const isAskedFor = score !== fallbackAt('oomScoreAdj');
  log[isAskedFor ? 'warn' : 'debug']({ oomScoreAdj: score, error: refusal }, 'the OOM score stays as it is');
};
