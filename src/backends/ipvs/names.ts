/**
 * Names of link, sets and chains, exactly those of kube-proxy's mode ipvs: people, dashboards and CNIs know them, and a
 * node can be taken over in place.
 */
import type { IPFamily } from '../../model/address.ts';
import type { SetDefinition, SetType } from '../../netlink/ipset.ts';

/** Dummy link that holds the addresses of Services, so that packets to them are delivered locally. */
export const DEVICE = 'kube-ipvs0';

export const NODE_PORT = 'KUBE-NODE-PORT';
export const LOAD_BALANCER = 'KUBE-LOAD-BALANCER';
export const SOURCE_RANGES = 'KUBE-SOURCE-RANGES-FIREWALL';

export type SetName =
  | 'LOOP-BACK'
  | 'CLUSTER-IP'
  | 'EXTERNAL-IP'
  | 'EXTERNAL-IP-LOCAL'
  | 'LOAD-BALANCER'
  | 'LOAD-BALANCER-LOCAL'
  | 'LOAD-BALANCER-FW'
  | 'LOAD-BALANCER-SOURCE-IP'
  | 'LOAD-BALANCER-SOURCE-CIDR'
  | 'NODE-PORT-TCP'
  | 'NODE-PORT-LOCAL-TCP'
  | 'NODE-PORT-UDP'
  | 'NODE-PORT-LOCAL-UDP'
  | 'NODE-PORT-SCTP-HASH'
  | 'NODE-PORT-LOCAL-SCTP-HASH'
  | 'HEALTH-CHECK-NODE-PORT'
  | 'IPVS-IPS'
  | 'EXTERNAL-POLICY-MARK'
  | 'EXTERNAL-POLICY-OWNER'
  | 'DROP-EXTERNAL'
  | 'DROP-INTERNAL';

const TYPES: Readonly<Record<SetName, SetType>> = {
  /** Local endpoints: a packet of a pod to itself is masqueraded (hairpin). */
  'LOOP-BACK': 'hash:ip,port,ip',
  'CLUSTER-IP': 'hash:ip,port',
  'EXTERNAL-IP': 'hash:ip,port',
  'EXTERNAL-IP-LOCAL': 'hash:ip,port',
  'LOAD-BALANCER': 'hash:ip,port',
  'LOAD-BALANCER-LOCAL': 'hash:ip,port',
  'LOAD-BALANCER-FW': 'hash:ip,port',
  'LOAD-BALANCER-SOURCE-IP': 'hash:ip,port,ip',
  'LOAD-BALANCER-SOURCE-CIDR': 'hash:ip,port,net',
  'NODE-PORT-TCP': 'bitmap:port',
  'NODE-PORT-LOCAL-TCP': 'bitmap:port',
  'NODE-PORT-UDP': 'bitmap:port',
  'NODE-PORT-LOCAL-UDP': 'bitmap:port',
  'NODE-PORT-SCTP-HASH': 'hash:ip,port',
  'NODE-PORT-LOCAL-SCTP-HASH': 'hash:ip,port',
  'HEALTH-CHECK-NODE-PORT': 'bitmap:port',
  /** Addresses on the device: ports of them that are in no other set are refused, so that they do not reach the host's own. */
  'IPVS-IPS': 'hash:ip',
  /** Set of ours for external policy Local: address and port → mark of the virtual server for pods and the node. */
  'EXTERNAL-POLICY-MARK': 'hash:ip,port',
  /** Set of ours that records marks: ClusterIP and port → mark of the service port. No rule uses it. */
  'EXTERNAL-POLICY-OWNER': 'hash:ip,port',
  /** Sets of ours: addresses and ports whose endpoints the traffic policy excludes. */
  'DROP-EXTERNAL': 'hash:ip,port',
  'DROP-INTERNAL': 'hash:ip,port',
};

export const SET_NAMES = Object.keys(TYPES) as readonly SetName[];

/** Sets that kube-proxy does not make. */
export const OWN_SETS: readonly SetName[] = [
  'EXTERNAL-POLICY-MARK',
  'EXTERNAL-POLICY-OWNER',
  'DROP-EXTERNAL',
  'DROP-INTERNAL',
];

const MAX_NAME = 31;
/** maxelem of kube-proxy's sets: with another one its `ipset create -exist` fails when it takes the node back. */
const MAX_ENTRIES = 65_536;

/** Name of a set in the kernel. Two of the IPv6 names are cut, as kube-proxy cuts them. */
export const setName = (name: SetName, family: IPFamily): string =>
  `${family === 'IPv6' ? 'KUBE-6-' : 'KUBE-'}${name}`.slice(0, MAX_NAME);

export const setDefinition = (name: SetName, family: IPFamily): SetDefinition => ({
  name: setName(name, family),
  type: TYPES[name],
  family,
  maxEntries: TYPES[name] === 'bitmap:port' ? 0 : MAX_ENTRIES,
  hasMarks: name === 'EXTERNAL-POLICY-MARK' || name === 'EXTERNAL-POLICY-OWNER',
});
