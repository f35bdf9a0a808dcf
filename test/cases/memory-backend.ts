/** The iptables backend over an iptables in memory, which fails when it is told to. */
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { IptablesListing } from '../../src/backends/iptables/listing.ts';
import type { DesiredIptablesObject } from '../../src/backends/iptables/objects.ts';
import type { IptablesPayload } from '../../src/backends/iptables/plan.ts';
import { sysctl } from '../../src/backends/xtables/sysctl.ts';
import { type Backend, KernelError } from '../../src/dataplane/contract.ts';
import type { IPFamily } from '../../src/model/address.ts';
import { MemoryIptables } from './memory-iptables.ts';

/** What others have on the node: a container engine's chain, the kubelet's, somebody's own rule. */
const FOREIGN = `*filter
:KUBE-FIREWALL - [0:0]
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A INPUT -j KUBE-FIREWALL
COMMIT
*nat
:DOCKER - [0:0]
-A DOCKER -i docker0 -j RETURN
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
COMMIT
`;

/** What of ours stays on such a node when the program leaves, if NodePorts answered on loopback. */
const LEFT = `*filter
-I KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-I OUTPUT -j KUBE-FIREWALL
COMMIT
`;

export type Kernels = Readonly<Record<IPFamily, MemoryIptables>>;

export const newKernels = (): Kernels => ({ IPv4: new MemoryIptables(FOREIGN), IPv6: new MemoryIptables(FOREIGN) });

export const leftKernels = ({ IPv4 }: Kernels): Kernels =>
  IPv4.settings.size === 0 ? newKernels() : { ...newKernels(), IPv4: new MemoryIptables(FOREIGN + LEFT) };

export const objectsIn = (kernel: MemoryIptables, family: IPFamily): ReadonlyMap<string, DesiredIptablesObject> => {
  const listing = new IptablesListing(family);
  for (const line of kernel.save().split('\n')) listing.push(line);
  const settings = [...kernel.settings].map(([path, value]) => sysctl(path, Number(value)));
  return new Map<string, DesiredIptablesObject>(
    [...listing.objects(), ...settings].map((object) => [object.id, object]),
  );
};

const firstTable = (text: string): string => `${text.slice(0, text.indexOf('COMMIT\n'))}COMMIT\n`;

/** Ways for a write to fail: what it does to the kernel before, and what it says. */
export const FAULTS = {
  'another holds the lock': () => new KernelError('environment', 'the lock is held'),
  'the tool is killed when it has done everything': (kernel, text) => {
    kernel.restore(text);
    return new KernelError('environment', 'was killed');
  },
  'the tool is killed after the first table': (kernel, text) => {
    kernel.restore(firstTable(text));
    return new KernelError('environment', 'was killed');
  },
  'the kernel refuses without saying what': () => new KernelError('content', 'Invalid argument'),
  'the kernel refuses the second table': (kernel, text) => {
    kernel.restore(firstTable(text));
    return new KernelError('content', 'Invalid argument');
  },
} as const satisfies Record<string, (kernel: MemoryIptables, text: string) => KernelError>;

export type FaultName = keyof typeof FAULTS;

export interface MemoryBackendOptions {
  /** Called before each write: the fault that it is to end with, if any. */
  readonly faultOf?: () => FaultName | undefined;
  readonly onWrite?: (ids: readonly string[]) => void;
}

export const memoryBackend = (
  family: IPFamily,
  kernel: MemoryIptables,
  { faultOf, onWrite }: MemoryBackendOptions = {},
): Backend<DesiredIptablesObject, IptablesPayload> => ({
  ...iptablesBackend({ family }),
  read: async () => objectsIn(kernel, family),
  apply: async ({ payload, ids }) => {
    if ('settings' in payload) {
      for (const { path, content } of payload.settings) kernel.settings.set(path, content);
    } else {
      const fault = faultOf?.();
      if (fault !== undefined) throw FAULTS[fault](kernel, payload.text);
      kernel.restore(payload.text);
    }
    onWrite?.(ids);
  },
});
