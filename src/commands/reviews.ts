/** Asking the cluster about those who ask the metrics server. */
import type { Authorize } from '../observe/guard.ts';
import type { ApiConnection } from '../sources/apiserver/connection.ts';
import type { Setup } from './setup.ts';

export interface OpenReviews {
  readonly authorize: Authorize;
  /** Gives up what is being asked. */
  stop(): void;
}

/** Undefined where nobody is to be asked, or nobody can be. */
export const openReviews = async (
  { config, log }: Pick<Setup, 'config' | 'log'>,
  connection: ApiConnection | undefined,
): Promise<OpenReviews | undefined> => {
  if (connection === undefined || config.pointsman.metricsAuthorization === 'local') return undefined;
  const { Reviews } = await import('../sources/apiserver/reviews.ts');
  const reviews = new Reviews({ connection, log });
  return { authorize: (request) => reviews.authorize(request), stop: () => reviews.stop() };
};
