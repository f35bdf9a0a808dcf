/** Tells kube-proxy's table from ours, which has the same name. */
import { SETS } from './names.ts';
import type { NftObject } from './objects.ts';

/**
 * Filters the objects that kube-proxy made. Its chains and sets of Services have a slash in their names. Ours always has the
 * map of endpoints.
 */
export const madeByKubeProxy = (found: readonly NftObject[]): readonly NftObject[] => {
  const hasServices = found.some(({ kind, id }) => (kind === 'chain' || kind === 'set') && id.includes('/'));
  const hasEndpoints = found.some(({ kind, id }) => kind === 'set' && id.split(' ').at(-1) === SETS.service.endpoints);
  return hasServices || !hasEndpoints ? found : [];
};
