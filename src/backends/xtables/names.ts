/** Tables, the chains that modes have in common, and which chains are ours at all. */

export type Table = 'nat' | 'filter' | 'mangle';

export const TABLES: readonly Table[] = ['mangle', 'filter', 'nat'];

export const SERVICES = 'KUBE-SERVICES';
export const POSTROUTING = 'KUBE-POSTROUTING';
export const MARK_MASQ = 'KUBE-MARK-MASQ';
export const FORWARD = 'KUBE-FORWARD';
export const PROXY_FIREWALL = 'KUBE-PROXY-FIREWALL';
/** Mode ipvs: no port of the host's is reached at the addresses of Services. */
export const IPVS_FILTER = 'KUBE-IPVS-FILTER';
/** In table mangle, ours alone: what is marked, and what of the node's own traffic is dropped, before IPVS sees it. */
export const IPVS_MARK = 'KUBE-IPVS-MARK';
/** The same; in table nat what the node's own calls need, from the first address of a Service on it to the last. */
export const IPVS_OUT = 'KUBE-IPVS-OUT';
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
    IPVS_OUT,
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
    IPVS_FILTER,
    'KUBE-IPVS-OUT-FILTER',
    'KUBE-PROXY-CANARY',
  ]),
  mangle: new Set([IPVS_MARK, IPVS_OUT, 'KUBE-PROXY-CANARY']),
};

/** What is needed as long as addresses of Services are the node's own: for mode ipvs to take away when these are gone. */
const WITH_ADDRESSES: ReadonlySet<string> = new Set([`filter ${IPVS_FILTER}`, `nat ${IPVS_OUT}`]);

export const goesWithAddresses = (table: Table, chain: string): boolean => WITH_ADDRESSES.has(`${table} ${chain}`);

const PER_SERVICE = /^KUBE-(?:SVC|SVL|FW|EXT|SEP)-/;

/** Chains of one Service. */
export const OF_A_SERVICE = /^KUBE-(?:SVC|SVL|FW|EXT|SEP)-[A-Z2-7]{16}$/;

/** Chains of our dispatch tree, that has a prefix or `by-` in its names where those of a Service have their hash. */
export const isOfTree = (chain: string): boolean => PER_SERVICE.test(chain) && !OF_A_SERVICE.test(chain);

/** Chains that are ours to change and to remove. KUBE-KUBELET-* are the kubelet's, and KUBE-FIREWALL is not ours alone. */
export const isOurs = (table: Table, chain: string): boolean =>
  FIXED[table].has(chain) || (table !== 'mangle' && PER_SERVICE.test(chain));
