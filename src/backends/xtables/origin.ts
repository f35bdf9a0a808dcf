/**
 * Chains of kube-proxy have the names of ours. Each proxy also makes chains that the other does not make and removes, so
 * the ones that are there tell which of the two wrote last.
 */
import { IPVS_MARK, IPVS_OUT, isOfTree } from './names.ts';
import { chainId, chainOf, type Jump, type SharedChain, type XtablesChain } from './objects.ts';

type XtablesObject = XtablesChain | Jump | SharedChain;

/** Chains that only kube-proxy makes: its canaries in mode iptables, its source ranges in mode ipvs. */
const OF_KUBE_PROXY = [
  ...(['mangle', 'filter', 'nat'] as const).map((table) => chainId(table, 'KUBE-PROXY-CANARY')),
  chainId('filter', 'KUBE-IPVS-OUT-FILTER'),
];
/** Chain of mode ipvs, made by both proxies. */
const OF_IPVS = chainId('nat', 'KUBE-LOAD-BALANCER');
const OURS = new Set([chainId('mangle', IPVS_MARK), chainId('mangle', IPVS_OUT), chainId('nat', IPVS_OUT)]);

const isOursAlone = (object: XtablesObject): boolean =>
  OURS.has(chainId(object.table, chainOf(object))) || isOfTree(chainOf(object));

/** Filters the objects that kube-proxy made. */
export const rulesOfKubeProxy = <R extends XtablesObject>(found: readonly R[]): readonly R[] => {
  const ids = new Set(found.map(({ id }) => id));
  const isIpvs = ids.has(OF_IPVS) && !ids.has(chainId('mangle', IPVS_MARK));
  return isIpvs || OF_KUBE_PROXY.some((id) => ids.has(id)) ? found.filter((object) => !isOursAlone(object)) : [];
};
