/** One life of the program in a mode, over a kernel in memory: from events to what the kernel is sent. */
import { profileOf } from '../../src/backends/index.ts';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { type NftablesBackend, nftablesBackend } from '../../src/backends/nftables/index.ts';
import type { KernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import type { Backend, KernelObject } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { PendingHealthChecks } from '../../src/model/health-checks.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import { Tracker } from '../../src/model/tracker.ts';
import type { Socket } from '../../src/netlink/socket.ts';
import { type Gauged, Metrics } from '../../src/observe/metrics.ts';
import { MemoryKernel } from '../backends/ipvs/memory-kernel.ts';
import { MemoryNft } from '../backends/nftables/memory-nft.ts';
import { optionsOf } from '../cases/program.ts';
import { NODE_OBJECT } from '../conformance/world.ts';
import { uncounted } from './counter.ts';

export type Mode = 'iptables' | 'ipvs' | 'nftables';

export interface KubernetesObject {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** What the kernel was sent. */
export interface Sent {
  messages: number;
  bytes: number;
}

export interface Life {
  readonly sent: Sent;
  /** There in mode nftables. */
  readonly nft: MemoryNft;
  /** An object came, or came anew; what follows from it is in the kernel. */
  put(object: KubernetesObject): Promise<void>;
  /** Ends when what runs beside changes is done (clients are forgotten); from then on that has to wait. */
  rest(): Promise<void>;
}

type AnyBackend = Backend<KernelObject, unknown>;

const NOTHING_GAUGED: Gauged = {
  quarantined: new Map(),
  rules: new Map(),
  watches: undefined,
  malformed: [],
  skipped: 0,
};

const NODE = { ...NODE_OBJECT, kind: 'Node', metadata: { ...NODE_OBJECT.metadata, name: 'node1' } };
const { signal } = new AbortController();

/** A program that has synced these objects, on a node with these addresses. */
export const start = async (
  mode: Mode,
  objects: readonly KubernetesObject[],
  addresses: readonly string[],
  flags: Readonly<Record<string, string>> = {},
): Promise<Life> => {
  const sent: Sent = { messages: 0, bytes: 0 };
  const nft = new MemoryNft();
  const beside: Beside = { mayRun: true };
  const backend = backendOf(mode, sent, nft, beside);
  const options = await optionsOf({ 'proxy-mode': mode, 'nodeport-addresses': '0.0.0.0/0,::/0', ...flags });
  const tracker = new Tracker({ node: options, families: ['IPv4'], interfaceAddresses: () => addresses });
  const reconciler = new Reconciler(backend, { signal });
  const news = new PendingHealthChecks((service) => tracker.healthCheck(service, 'IPv4'));
  const metrics = new Metrics({
    profile: profileOf(mode),
    version: '1',
    families: ['IPv4'],
    gauged: () => NOTHING_GAUGED,
  });
  const sync = async (): Promise<void> => {
    metrics.synced('IPv4', await reconciler.sync(news.note(tracker.take('IPv4'))));
    news.take();
  };
  const all = [NODE, ...objects];
  for (const kind of OBJECT_KINDS)
    tracker.replace(
      kind,
      all.filter((object) => object.kind === kind),
    );
  await sync();
  return {
    sent,
    nft,
    put: async (object) => {
      tracker.put(object.kind as ObjectKind, object);
      await sync();
    },
    rest: async () => {
      await (backend as Partial<NftablesBackend>).settled?.();
      beside.mayRun = false;
    },
  };
};

interface Beside {
  mayRun: boolean;
}

const backendOf = (mode: Mode, sent: Sent, nft: MemoryNft, beside: Beside): AnyBackend => {
  if (mode === 'iptables') return overNothing(iptablesBackend({ family: 'IPv4' }) as AnyBackend, sent);
  if (mode === 'ipvs') {
    const kernel = new MemoryKernel();
    for (const end of Object.values(kernel.sockets)) counted(end, sent);
    return kernel.backend('IPv4') as AnyBackend;
  }
  counted(nft, sent);
  const sockets = nft.sockets();
  const openReader: KernelSockets['openReader'] = () => {
    if (beside.mayRun) return sockets.openReader();
    throw new Error('later');
  };
  return nftablesBackend({ family: 'IPv4', sockets: { ...sockets, openReader } }) as AnyBackend;
};

/** The tool's input is counted, and nobody runs it: what is in the kernel is what the engine knows. */
const overNothing = (backend: AnyBackend, sent: Sent): AnyBackend => ({
  ...backend,
  read: async () => new Map(),
  apply: async ({ payload }) => {
    // kernel settings have none
    const { text = '' } = payload as { readonly text?: string };
    sent.messages += 1;
    sent.bytes += text.length;
  },
});

/** What goes over sockets is counted, and what the kernel does with it is not. */
const counted = (end: { open(): Socket }, sent: Sent): void => {
  const open = end.open.bind(end);
  end.open = () => {
    const socket = open();
    return {
      ...socket,
      send: (datagram) => {
        sent.messages += 1;
        sent.bytes += datagram.length;
        uncounted(() => socket.send(datagram));
      },
    };
  };
};
