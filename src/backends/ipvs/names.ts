/**
 * Names of link, sets and chains, as kube-proxy's mode ipvs has them: people, dashboards and CNIs know them, and a node
 * can be taken over in place.
 */
import type { IPFamily } from '../../model/address.ts';
import type { SetDefinition, SetType } from '../../netlink/ipset.ts';

/** The dummy link that holds the addresses of Services, so that packets to them are taken for local ones. */
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
  /** Local endpoints: who reaches himself is masqueraded. */
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
  /** Addresses on the device: what is in no other set is refused there, lest the host's own ports be reached by it. */
  'IPVS-IPS': 'hash:ip',
  /** Ours: external policy Local; entry → mark of the virtual server that pods and the node use instead. */
  'EXTERNAL-POLICY-MARK': 'hash:ip,port',
  /** Ours: ClusterIP and port → the mark that is this service port's. No rule looks into it. */
  'EXTERNAL-POLICY-OWNER': 'hash:ip,port',
  /** Ours: there are endpoints, but none that the traffic policy admits. */
  'DROP-EXTERNAL': 'hash:ip,port',
  'DROP-INTERNAL': 'hash:ip,port',
};

export const SET_NAMES = Object.keys(TYPES) as readonly SetName[];

/** Of these kube-proxy knows nothing. */
export const OWN_SETS: readonly SetName[] = [
  'EXTERNAL-POLICY-MARK',
  'EXTERNAL-POLICY-OWNER',
  'DROP-EXTERNAL',
  'DROP-INTERNAL',
];

const MAX_NAME = 31;
/** kube-proxy's: with another one its own `ipset create -exist` would fail when it takes the node back. */
const MAX_ENTRIES = 65_536;

/** The name in the kernel. Two of the IPv6 names are cut, as kube-proxy cuts them. */
export const setName = (name: SetName, family: IPFamily): string =>
  `${family === 'IPv6' ? 'KUBE-6-' : 'KUBE-'}${name}`.slice(0, MAX_NAME);

export const setDefinition = (name: SetName, family: IPFamily): SetDefinition => ({
  name: setName(name, family),
  type: TYPES[name],
  family,
  maxEntries: TYPES[name] === 'bitmap:port' ? 0 : MAX_ENTRIES,
  hasMarks: name === 'EXTERNAL-POLICY-MARK' || name === 'EXTERNAL-POLICY-OWNER',
});
