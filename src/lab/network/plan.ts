/**
 * Topology of the lab as data: hosts, addresses, and the commands that create them.
 *
 * One switch connects two nodes, a client outside the cluster and the API server's host. Each node has a bridge with
 * its pods. Pure: names namespaces and writes command lines, runs none.
 */
import type { IPFamily } from '../../model/address.ts';

export type NodeName = 'node1' | 'node2';
export type HostName = NodeName | 'outside' | 'apiserver' | `pod${number}` | `remote${number}`;

export interface LabHost {
  readonly name: HostName;
  readonly namespace: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Node of a pod. */
  readonly node: NodeName | undefined;
}

export interface PlanOptions {
  /** Number of pods by node: pod1, pod2 … on node1, remote1, remote2 … on node2. */
  readonly pods?: { readonly node1?: number; readonly node2?: number };
  /** Further sysctls of both nodes. */
  readonly sysctls?: Readonly<Record<string, string>>;
}

export interface Plan {
  readonly switch: string;
  readonly hosts: readonly LabHost[];
  /** Step 1: namespaces with their sysctls, which links inherit. Run in the machine's own namespace. */
  readonly namespaces: readonly string[];
  /** Step 2, by namespace: bridges and veth pairs. */
  readonly cables: ReadonlyMap<string, readonly string[]>;
  /** Step 3, by namespace: addresses and routes. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
}

type Networks = Readonly<Record<IPFamily, string>>;
type Addresses = Pick<LabHost, 'ipv4' | 'ipv6'>;

/** Networks of every lab. The service networks have no hosts: proxies serve them. */
export const LAB_NETWORKS: Readonly<Record<'machines' | 'cluster' | 'services' | NodeName, Networks>> = {
  machines: { IPv4: '10.250.0.0/24', IPv6: 'fd50::/64' },
  cluster: { IPv4: '10.200.0.0/16', IPv6: 'fd20::/48' },
  node1: { IPv4: '10.200.0.0/24', IPv6: 'fd20:0:0:1::/64' },
  node2: { IPv4: '10.200.1.0/24', IPv6: 'fd20:0:0:2::/64' },
  services: { IPv4: '10.96.0.0/16', IPv6: 'fd96::/112' },
};

/** Bridge of a node's pod network, for interface-based detection of local traffic. */
export const POD_BRIDGE = 'cni0';

const MACHINES = { node1: 1, node2: 2, outside: 9, apiserver: 100 } as const;
const PODS = { node1: { name: 'pod', from: 10 }, node2: { name: 'remote', from: 20 } } as const;
const NODES: readonly NodeName[] = ['node1', 'node2'];
const MOST_PODS = 200;

/** Address number `number` of a network, with equal digits in both families. */
const address = (network: Networks, number: number): Addresses => ({
  ipv4: network.IPv4.replace(/0\/\d+$/, String(number)),
  ipv6: network.IPv6.replace(/\/\d+$/, String(number)),
});

/**
 * Sysctls of every host. ICMP errors are not rate-limited, so that many refused connections do not look like time-outs.
 */
const SYSCTLS = [
  'net.ipv4.icmp_ratelimit=0',
  'net.ipv4.icmp_ratemask=0',
  'net.ipv6.icmp.ratelimit=0',
  'net.ipv6.icmp.ratemask=',
  // packets follow routes, not ICMP redirects
  'net.ipv4.conf.default.accept_redirects=0',
  'net.ipv6.conf.default.accept_redirects=0',
];

/**
 * Sysctls of a node: forwarding, no reverse path filter, no ICMP redirects to pods. Bridged packets pass iptables as on
 * a kubeadm node, where the kernel supports it.
 */
const nodeSysctls = (more: Readonly<Record<string, string>>): readonly string[] => [
  'net.ipv4.ip_forward=1',
  'net.ipv6.conf.all.forwarding=1',
  ...['all', 'default'].flatMap((link) => [
    `net.ipv4.conf.${link}.rp_filter=0`,
    `net.ipv4.conf.${link}.send_redirects=0`,
  ]),
  ...Object.entries(more).map(([name, value]) => `${name}=${value}`),
];

/** Sysctls that only some kernels have, or have by network namespace. */
const sysctlsWhereKnown = (host: HostName | 'switch'): readonly string[] => [
  'net.ipv4.icmp_msgs_per_sec=100000000',
  ...(host === 'switch' ? ['net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0'] : []),
  ...(isNode(host) ? ['net.bridge.bridge-nf-call-iptables=1', 'net.bridge.bridge-nf-call-ip6tables=1'] : []),
];

const isNode = (host: string): host is NodeName => host === 'node1' || host === 'node2';

const planHosts = (prefix: string, options: PlanOptions): readonly LabHost[] => {
  const host = (name: HostName, network: Networks, number: number, node?: NodeName): LabHost => ({
    name,
    namespace: prefix + name,
    ...address(network, number),
    node,
  });
  const machines = Object.entries(MACHINES).map(([name, number]) =>
    host(name as keyof typeof MACHINES, LAB_NETWORKS.machines, number),
  );
  const pods = NODES.flatMap((node) => {
    const count = options.pods?.[node] ?? { node1: 3, node2: 2 }[node];
    if (!Number.isInteger(count) || count < 0 || count > MOST_PODS) {
      throw new RangeError(`pods.${node} must be a number from 0 to ${MOST_PODS}, not ${count}`);
    }
    const { name, from } = PODS[node];
    return Array.from({ length: count }, (_, i) => host(`${name}${i + 1}`, LAB_NETWORKS[node], from + i + 1, node));
  });
  return [...machines, ...pods];
};

const createNamespace = (namespace: string, host: HostName | 'switch', options: PlanOptions): readonly string[] => {
  const sysctls = [...SYSCTLS, ...(isNode(host) ? nodeSysctls(options.sysctls ?? {}) : [])];
  const optional = sysctlsWhereKnown(host);
  return [
    `netns add ${namespace}`,
    `netns exec ${namespace} sysctl -q -w ${sysctls.join(' ')}`,
    `netns exec ${namespace} sysctl -q -e -w ${optional.join(' ')}`,
  ];
};

/** Sets a link up without a generated IPv6 address; two commands, as one would generate it first. */
const linkUp = (link: string): readonly string[] => [`link set ${link} addrgenmode none`, `link set ${link} up`];

/** Bridge without multicast snooping, which would delay neighbour discovery until a querier is known. */
const createBridge = (name: string): readonly string[] => [
  `link add ${name} type bridge mcast_snooping 0`,
  ...linkUp(name),
];

/**
 * veth pair from a bridge port to `eth0` of a host. The port is in hairpin mode, so that a pod reaches itself through
 * it.
 */
const plugIn = (bridge: string, port: string, host: LabHost): readonly string[] => [
  `link add ${port} type veth peer name eth0 netns ${host.namespace}`,
  `link set ${port} master ${bridge}`,
  ...linkUp(port),
  `link set ${port} type bridge_slave hairpin ${host.node === undefined ? 'off' : 'on'}`,
];

/**
 * Addresses of a link; IPv6 without the second of duplicate address detection. A link-local address is needed: a router
 * sends neighbour solicitations from it.
 */
const addressesOf = (link: string, { ipv4, ipv6 }: Addresses, reach: 'alone' | 'subnet'): readonly string[] => {
  const [bits4, bits6] = reach === 'alone' ? [32, 128] : [24, 64];
  return [
    `address add ${ipv4}/${bits4} dev ${link}`,
    `address add ${ipv6}/${bits6} dev ${link} nodad`,
    `address add fe80::${ipv6.slice(ipv6.lastIndexOf(':') + 1)}/64 dev ${link} nodad`,
  ];
};

/**
 * Addresses and routes of a pod. It reaches everything through its node, even its neighbours on the bridge. So the node
 * sees both directions of every connection and can reverse NAT, with or without bridge netfilter.
 */
const podAddresses = (pod: LabHost, node: NodeName): readonly string[] => {
  const gateway = address(LAB_NETWORKS[node], 1);
  return [
    ...linkUp('eth0'),
    ...addressesOf('eth0', pod, 'alone'),
    `route add ${gateway.ipv4} dev eth0`,
    `route add default via ${gateway.ipv4}`,
    `route add ${gateway.ipv6} dev eth0`,
    `route add default via ${gateway.ipv6}`,
  ];
};

/**
 * Addresses and routes of a machine. Pods are reached through their nodes. Other destinations (ClusterIPs,
 * load-balancer addresses) are routed by `outside` to node1, the node under test, and by all others to `outside`, which
 * drops them silently.
 */
const machineAddresses = (machine: LabHost): readonly string[] => {
  const { name } = machine;
  const at = (other: keyof typeof MACHINES) => address(LAB_NETWORKS.machines, MACHINES[other]);
  const others = NODES.filter((node) => node !== name);
  const beyond = at(name === 'outside' ? 'node1' : 'outside');
  const gateway = isNode(name) ? address(LAB_NETWORKS[name], 1) : undefined;
  return [
    ...linkUp('eth0'),
    ...addressesOf('eth0', machine, 'subnet'),
    ...(gateway === undefined ? [] : addressesOf(POD_BRIDGE, gateway, 'subnet')),
    ...others.flatMap((node) => [
      `route add ${LAB_NETWORKS[node].IPv4} via ${at(node).ipv4}`,
      `route add ${LAB_NETWORKS[node].IPv6} via ${at(node).ipv6}`,
    ]),
    `route add default via ${beyond.ipv4}`,
    `route add default via ${beyond.ipv6}`,
  ];
};

/** Plan of a lab whose namespaces' names begin with `prefix`. */
export const planNetwork = (prefix: string, options: PlanOptions = {}): Plan => {
  const hosts = planHosts(prefix, options);
  const hub = `${prefix}switch`;
  const machines = hosts.filter(({ node }) => node === undefined);
  const podsOf = (node: string) => hosts.filter((host) => host.node === node);
  return {
    switch: hub,
    hosts,
    namespaces: [
      ...createNamespace(hub, 'switch', options),
      ...hosts.flatMap(({ namespace, name }) => createNamespace(namespace, name, options)),
    ],
    cables: new Map([
      [hub, [...createBridge('br0'), ...machines.flatMap((machine) => plugIn('br0', machine.name, machine))]],
      ...machines
        .filter(({ name }) => isNode(name))
        .map(({ namespace, name }): [string, readonly string[]] => [
          namespace,
          [...createBridge(POD_BRIDGE), ...podsOf(name).flatMap((pod) => plugIn(POD_BRIDGE, `veth-${pod.name}`, pod))],
        ]),
    ]),
    addresses: new Map(
      hosts.map((host) => [
        host.namespace,
        ['link set lo up', ...(host.node === undefined ? machineAddresses(host) : podAddresses(host, host.node))],
      ]),
    ),
  };
};
