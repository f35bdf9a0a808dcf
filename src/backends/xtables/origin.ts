/**
 * Whose chains these are: kube-proxy's have the same names as ours, and each of the two makes some that the other does not.
 * What the other has found there of those it removes, so who wrote last is seen.
 */
import { IPVS_MARK, IPVS_OUT, isOfTree } from './names.ts';
import { type Chain, chainId, chainOf, type Jump, type SharedChain } from './objects.ts';

type Rule = Chain | Jump | SharedChain;

/** kube-proxy watches over the tables by them, in mode iptables; in mode ipvs it has source ranges there. */
const OF_KUBE_PROXY = [
  ...(['mangle', 'filter', 'nat'] as const).map((table) => chainId(table, 'KUBE-PROXY-CANARY')),
  chainId('filter', 'KUBE-IPVS-OUT-FILTER'),
];
/** Of mode ipvs, whoever made it. */
const OF_IPVS = chainId('nat', 'KUBE-LOAD-BALANCER');
const OURS = new Set([chainId('mangle', IPVS_MARK), chainId('mangle', IPVS_OUT), chainId('nat', IPVS_OUT)]);

const isOursAlone = (object: Rule): boolean =>
  OURS.has(chainId(object.table, chainOf(object))) || isOfTree(chainOf(object));

/** Those that kube-proxy made. */
export const rulesOfKubeProxy = <R extends Rule>(found: readonly R[]): readonly R[] => {
  const ids = new Set(found.map(({ id }) => id));
  const isIpvs = ids.has(OF_IPVS) && !ids.has(chainId('mangle', IPVS_MARK));
  return isIpvs || OF_KUBE_PROXY.some((id) => ids.has(id)) ? found.filter((object) => !isOursAlone(object)) : [];
};
