/** Names of tables and of the chains that several modes share, and which chains are ours. */

export type TableName = 'nat' | 'filter' | 'mangle';

export const TABLES: readonly TableName[] = ['mangle', 'filter', 'nat'];

export const SERVICES = 'KUBE-SERVICES';
export const POSTROUTING = 'KUBE-POSTROUTING';
export const MARK_MASQ = 'KUBE-MARK-MASQ';
export const FORWARD = 'KUBE-FORWARD';
export const PROXY_FIREWALL = 'KUBE-PROXY-FIREWALL';
/** Filter of mode ipvs: refuses the host's own ports at the addresses of Services. */
export const IPVS_FILTER = 'KUBE-IPVS-FILTER';
/** Chain of ours in table mangle (kube-proxy has none): marks packets from pods before IPVS sees them. */
export const IPVS_MARK = 'KUBE-IPVS-MARK';
/**
 * Chain of ours for the node's own packets. In table mangle it marks or drops them before IPVS sees them. In table nat it
 * marks them for masquerade, for as long as the node has an address of a Service.
 */
export const IPVS_OUT = 'KUBE-IPVS-OUT';
/** Chain that the kubelet makes too: see SharedChain. */
export const FIREWALL = 'KUBE-FIREWALL';

/** Chains of modes iptables and ipvs, and of kube-proxy: one mode finds and removes what another left. */
const FIXED: Readonly<Record<TableName, ReadonlySet<string>>> = {
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

/** Chains needed while addresses of Services are on the node. Mode ipvs removes them after the last address. */
const WITH_ADDRESSES: ReadonlySet<string> = new Set([`filter ${IPVS_FILTER}`, `nat ${IPVS_OUT}`]);

export const isNeededByAddresses = (table: TableName, chain: string): boolean =>
  WITH_ADDRESSES.has(`${table} ${chain}`);

const PER_SERVICE = /^KUBE-(?:SVC|SVL|FW|EXT|SEP)-/;

/** Names of chains of one Service, which end in a hash. */
export const OF_A_SERVICE = /^KUBE-(?:SVC|SVL|FW|EXT|SEP)-[A-Z2-7]{16}$/;

/** Tells chains of the dispatch tree from those of a Service: they have a network or `by-` in place of the bare hash. */
export const isOfTree = (chain: string): boolean => PER_SERVICE.test(chain) && !OF_A_SERVICE.test(chain);

/** Chains of ours may be changed and removed. KUBE-KUBELET-* are the kubelet's, and KUBE-FIREWALL is shared with it. */
export const isOurs = (table: TableName, chain: string): boolean =>
  FIXED[table].has(chain) || (table !== 'mangle' && PER_SERVICE.test(chain));
