/** A node with a network card, Services of every kind for it, and the engine over its kernel in memory. */
import type { DesiredIpvsObject } from '../../../src/backends/ipvs/objects.ts';
import type { IpvsSettings } from '../../../src/backends/ipvs/settings.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import type { SyncReport } from '../../../src/dataplane/status.ts';
import { type IPFamily, parseCIDR } from '../../../src/model/address.ts';
import type { Protocol } from '../../../src/model/kubernetes.ts';
import type { NodeContext } from '../../../src/model/node.ts';
import type { ServicePort } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { input, NODE, service } from '../../dataplane/fake-backend.ts';
import { type ServiceDraft, serviceOf } from '../iptables/services.ts';
import { MemoryKernel, SETTINGS } from './memory-kernel.ts';

export const FAMILIES = ['IPv4', 'IPv6'] as const;

export const NODE_IP: Readonly<Record<IPFamily, string>> = { IPv4: '10.250.0.1', IPv6: 'fd50::1' };
const PODS = { IPv4: '10.200.0.0/16', IPv6: 'fd00:200::/32' } as const;

export const nodeOf = (family: IPFamily, more: Partial<NodeContext> = {}): NodeContext => {
  const cidr = parseCIDR(PODS[family]);
  return {
    ...NODE,
    family,
    nodeIP: NODE_IP[family],
    localAddresses: new Set([NODE_IP[family]]),
    localDetector: cidr === undefined ? undefined : { by: 'source', cidr },
    ...more,
  };
};

/** What others have there. */
const FOREIGN = `*nat
:THEIRS - [0:0]
-A PREROUTING -p tcp -m tcp --dport 9999 -j THEIRS
COMMIT
`;

export const newKernel = (): MemoryKernel => {
  const kernel = new MemoryKernel(FOREIGN);
  kernel.links.add('eth0', '');
  kernel.links.addAddress('eth0', NODE_IP.IPv4, 24);
  kernel.links.addAddress('eth0', NODE_IP.IPv6, 64);
  kernel.links.addAddress('eth0', 'fe80::1', 64, 'link');
  return kernel;
};

export interface Life {
  readonly reconciler: Reconciler<DesiredIpvsObject, unknown>;
  /** `owner: why`, of those that the kernel refused. */
  readonly refused: readonly string[];
  readonly notes: readonly string[];
  readonly sync: (services: readonly ServiceEndpoints[], gone?: readonly string[]) => Promise<SyncReport>;
}

/** One life of the program over a kernel. */
export const start = (
  kernel: MemoryKernel,
  family: IPFamily = 'IPv4',
  settings: IpvsSettings = SETTINGS,
  node: NodeContext = nodeOf(family),
): Life => {
  const refused: string[] = [];
  const notes: string[] = [];
  const reconciler = new Reconciler(kernel.backend(family, settings), {
    signal: new AbortController().signal,
    now: () => kernel.time,
    clock: () => kernel.time,
    onQuarantine: (owner, message) => refused.push(`${owner}: ${message}`),
    onNote: (owner, note) => notes.push(`${owner}: ${note}`),
  });
  return { reconciler, refused, notes, sync: (services, gone = []) => reconciler.sync(input(services, gone, node)) };
};

/** A TCP Service of IPv4 with these endpoints, and what is said of its port. */
export const tcp = (
  name: string,
  clusterIP: string,
  endpoints: readonly string[],
  port: Partial<ServicePort> = {},
): ServiceEndpoints => {
  const plain = service(name, clusterIP, endpoints);
  return { ...plain, port: { ...plain.port, ...port } };
};

/** The same by another protocol. */
export const by = (protocol: Protocol, plain: ServiceEndpoints): ServiceEndpoints => ({
  ...plain,
  port: { ...plain.port, name: { ...plain.port.name, protocol } },
});

/** Those of its endpoints that are on this node. */
export const withLocal = (plain: ServiceEndpoints, ips: readonly string[]): ServiceEndpoints => {
  const placed = plain.cluster.map((endpoint) => ({ ...endpoint, isLocal: ips.includes(endpoint.ip) }));
  return { ...plain, cluster: placed, reachable: placed, local: placed.filter(({ isLocal }) => isLocal) };
};

const DRAFTS: readonly ServiceDraft[] = (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
  (['here', 'elsewhere', 'none'] as const).flatMap((endpoints) =>
    [false, true].map((isLocal) => ({
      protocol,
      endpoints,
      isLocal,
      isExternal: true,
      hasNodePort: true,
      ranges: 'open' as const,
    })),
  ),
);

/** One of each kind; some with affinity, and with networks that may reach the balancer's address. */
export const everyKind = (family: IPFamily): readonly ServiceEndpoints[] =>
  DRAFTS.map((draft, n) => {
    const plain = serviceOf(draft, n, family);
    const ranges = (family === 'IPv4' ? ['10.250.0.0/24', '192.0.2.9/32'] : ['fd50::/64', 'fd99::9/128']).flatMap(
      (text) => parseCIDR(text) ?? [],
    );
    return {
      ...plain,
      port: {
        ...plain.port,
        affinitySeconds: n % 4 === 0 ? 600 : 0,
        healthCheckNodePort: n % 3 === 0 ? 31_000 + n : 0,
        sourceRanges: n % 5 === 0 ? ranges : undefined,
        scheduler: n % 7 === 0 ? 'mh' : undefined,
      },
    };
  });
