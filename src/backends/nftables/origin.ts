/** Whose table this is: kube-proxy's has the same name. */
import { SETS } from './names.ts';
import type { NftObject } from './objects.ts';

/** kube-proxy has chains and sets for each Service, with a slash in their names; ours always has its map of endpoints. */
export const madeByKubeProxy = (found: readonly NftObject[]): readonly NftObject[] => {
  const hasServices = found.some(({ kind, id }) => (kind === 'chain' || kind === 'set') && id.includes('/'));
  const hasEndpoints = found.some(({ kind, id }) => kind === 'set' && id.split(' ').at(-1) === SETS.service.endpoints);
  return hasServices || !hasEndpoints ? found : [];
};
