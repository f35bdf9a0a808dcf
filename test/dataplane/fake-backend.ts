/** A kernel in memory for the engine's tests: keeps what is applied, refuses what it is told to, fails on demand. */

import {
  type Backend,
  type Batch,
  type Change,
  type Fragment,
  KernelError,
  type KernelObject,
  type ObjectTraffic,
  type ToolInput,
} from '../../src/dataplane/contract.ts';
import type { Work } from '../../src/model/family-work.ts';
import type { NodeContext } from '../../src/model/node.ts';
import { ownerOf, type ServicePort } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';

export interface FakeObject extends KernelObject {
  readonly kind: 'fake';
}

export const fake = (id: string, content: string): FakeObject => ({ kind: 'fake', id, content });

export class FakeKernel implements Backend<FakeObject, readonly Change<FakeObject>[]> {
  readonly mode = 'fake';
  groupSize = 1_000;
  objects = new Map<string, FakeObject>();
  /** Each applied batch, as `op id` lines. */
  readonly log: string[][] = [];
  reads = 0;
  trafficReads = 0;
  #isRead = false;
  connections: number | string = 0;
  /** An object with this content is refused. */
  refuses: (content: string) => boolean = () => false;
  /** The kernel says which object it refuses. */
  names = false;
  /** Called before each apply and read; may throw. */
  disturb: (what: 'read' | 'apply') => void = () => undefined;
  maxBatch = Number.POSITIVE_INFINITY;
  /** What `apply` waits for. */
  gate: Promise<void> = Promise.resolve();

  /** Functions of the contract are the object's own, as a backend is a record of functions. */
  constructor() {
    const { base, compile, plan, format, print, read, traffic, apply } = this;
    for (const one of [base, compile, plan, format, print, read, traffic, apply])
      Object.assign(this, { [one.name]: one.bind(this) });
  }

  base(node: NodeContext): Fragment<FakeObject> {
    return { owner: 'base', since: 0, objects: [fake('base', node.zone)] };
  }

  compile({ port, cluster }: ServiceEndpoints): Fragment<FakeObject> {
    if (port.clusterIP === 'throws') throw new Error('no rule for this');
    return {
      owner: ownerOf(port.name),
      since: port.createdAt,
      objects: [
        fake(`vip ${port.clusterIP}`, `to ${port.name.name}`),
        ...cluster.map(({ ip }) => fake(`endpoint ${port.name.name} ${ip}`, port.clusterIP)),
      ],
    };
  }

  plan(changes: readonly Change<FakeObject>[]): readonly Batch<readonly Change<FakeObject>[]>[] {
    const ordered = [...changes].sort((a, b) => Number(a.op === 'remove') - Number(b.op === 'remove'));
    const batches: Batch<readonly Change<FakeObject>[]>[] = [];
    for (let i = 0; i < ordered.length; i += this.maxBatch) {
      const payload = ordered.slice(i, i + this.maxBatch);
      batches.push({ payload, ids: payload.map(({ object }) => object.id) });
    }
    return batches;
  }

  format(object: FakeObject): string {
    return `${object.id}: ${object.content}`;
  }

  print(): readonly ToolInput[] {
    return [];
  }

  /** Slow, over one handle: a second read while one runs is refused, as of a second dump on one socket (EBUSY). */
  async read(): Promise<ReadonlyMap<string, FakeObject>> {
    this.reads += 1;
    if (this.#isRead) throw new Error('EBUSY: two reads over one handle');
    this.#isRead = true;
    await Promise.resolve();
    this.#isRead = false;
    this.disturb('read');
    return new Map(this.objects);
  }

  /** Of every virtual server alike; a text is what is said instead. */
  async traffic(): Promise<ObjectTraffic> {
    const { connections } = this;
    this.trafficReads += 1;
    if (typeof connections === 'string') throw new KernelError('environment', connections);
    const ids = [...this.objects.keys()].filter((id) => id.startsWith('vip '));
    return { counts: new Map(ids.map((id) => [id, { connections }])), isWhole: true };
  }

  async apply({ payload }: Batch<readonly Change<FakeObject>[]>): Promise<void> {
    await this.gate;
    this.disturb('apply');
    const bad = payload.find(({ op, object }) => op !== 'remove' && this.refuses(object.content));
    if (bad !== undefined)
      throw new KernelError('content', `refused: ${bad.object.id}`, this.names ? [bad.object.id] : []);
    for (const { op, object } of payload) {
      if (op === 'remove') this.objects.delete(object.id);
      else this.objects.set(object.id, object);
    }
    this.log.push(payload.map(({ op, object }) => `${op} ${object.id}`));
  }

  /** All objects as text, sorted. */
  dump(): readonly string[] {
    return [...this.objects.values()].map((object) => this.format(object)).sort();
  }
}

export const NODE: NodeContext = {
  name: 'node1',
  family: 'IPv4',
  zone: 'za',
  nodeIP: '10.250.0.1',
  nodePortAddresses: 'all',
  nodePortsOnLoopback: false,
  localAddresses: new Set(),
  serviceCIDRs: [],
  localDetector: undefined,
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  dropInvalid: true,
};

/** A service port with these endpoints; its ClusterIP is the kernel object that two Services can both want. */
export const service = (
  name: string,
  clusterIP: string,
  endpoints: readonly string[],
  createdAt = 1,
): ServiceEndpoints => {
  const port: ServicePort = {
    name: { namespace: 'ns', name, port: 'p', protocol: 'TCP' },
    family: 'IPv4',
    clusterIP,
    port: 80,
    nodePort: 0,
    externalIPs: [],
    loadBalancerVIPs: [],
    sourceRanges: undefined,
    affinitySeconds: 0,
    internalPolicyLocal: false,
    externalPolicyLocal: false,
    healthCheckNodePort: 0,
    scheduler: undefined,
    createdAt,
  };
  const cluster = endpoints.map((ip) => ({
    ip,
    port: 8080,
    isLocal: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  }));
  return {
    port,
    cluster,
    local: [],
    reachable: cluster,
    serving: cluster,
    hasAny: cluster.length > 0,
    triggeredAt: [],
  };
};

export const input = (services: readonly ServiceEndpoints[], gone: readonly string[] = [], node = NODE): Work => ({
  node,
  nodeChanged: false,
  services,
  gone,
});
