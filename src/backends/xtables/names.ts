/** Tables, the chains that modes have in common, and which chains are ours at all. */

export type Table = 'nat' | 'filter' | 'mangle';

export const TABLES: readonly Table[] = ['mangle', 'filter', 'nat'];

export const SERVICES = 'KUBE-SERVICES';
export const POSTROUTING = 'KUBE-POSTROUTING';
export const MARK_MASQ = 'KUBE-MARK-MASQ';
export const FORWARD = 'KUBE-FORWARD';
export const PROXY_FIREWALL = 'KUBE-PROXY-FIREWALL';
/** The kubelet's as much as ours: see SharedChain. */
export const FIREWALL = 'KUBE-FIREWALL';

/** Of both modes that write such rules, kube-proxy's too: what another mode left is found and removed. */
const FIXED: Readonly<Record<Table, ReadonlySet<string>>> = {
  nat: new Set([
    SERVICES,
    POSTROUTING,
    MARK_MASQ,
    'KUBE-NODEPORTS',
    'KUBE-NODE-PORT',
    'KUBE-LOAD-BALANCER',
    'KUBE-PROXY-CANARY',
  ]),
  filter: new Set([
    SERVICES,
    FORWARD,
    PROXY_FIREWALL,
    'KUBE-EXTERNAL-SERVICES',
    'KUBE-NODEPORTS',
    'KUBE-NODE-PORT',
    'KUBE-SOURCE-RANGES-FIREWALL',
    'KUBE-IPVS-FILTER',
    'KUBE-IPVS-OUT-FILTER',
    'KUBE-PROXY-CANARY',
  ]),
  mangle: new Set(['KUBE-IPVS-MARK', 'KUBE-IPVS-OUT', 'KUBE-PROXY-CANARY']),
};

const PER_SERVICE = /^KUBE-(?:SVC|SVL|FW|EXT|SEP)-/;

/** Chains that are ours to change and to remove. KUBE-KUBELET-* are the kubelet's, and KUBE-FIREWALL is not ours alone. */
export const isOurs = (table: Table, chain: string): boolean =>
  FIXED[table].has(chain) || (table !== 'mangle' && PER_SERVICE.test(chain));
