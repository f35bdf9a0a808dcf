/**
 * Tracker: the cluster's objects as they are now, and for each IP family the Services that changed since it took work last.
 *
 * Order of events does not matter: a slice may come before its Service. An object that cannot be read is left out,
 * counted and reported; what was known of it before stays. Knows neither backends nor where events come from.
 */
import { isDeepStrictEqual } from 'node:util';
import { IP_FAMILIES, type IPFamily } from './address.ts';
import { mergeSlices, readServiceOf, readSlice, type Slice } from './endpoint.ts';
import { excerpt } from './excerpt.ts';
import { FamilyWork, type TriggerTimes, type Work } from './family-work.ts';
import { type HealthCheck, healthCheckOf } from './health-checks.ts';
import { Malformed, OBJECT_KINDS, type ObjectKind, type ObjectSink, objectKey, readMeta } from './kubernetes.ts';
import type { Missing } from './missing.ts';
import { type NodeContext, type NodeOptions, readNode } from './node.ts';
import { NodeView } from './node-view.ts';
import { type Problem, Problems } from './problems.ts';
import { Seen } from './seen.ts';
import { ownerOf, readService, type Service } from './service.ts';
import { readServiceCIDR } from './service-cidr.ts';
import { Slices } from './slices.ts';
import { resolve, type ServiceEndpoints } from './topology.ts';

export interface TrackerOptions {
  readonly node: NodeOptions;
  /** Families in use; both by default. */
  readonly families?: readonly IPFamily[];
  /**
   * Addresses of the machine, asked for at each take: the same array as long as they are the same. Undefined where there is no
   * machine (a dump): those of the Node object are used.
   */
  readonly interfaceAddresses?: () => readonly string[];
  readonly onChange?: () => void;
  readonly onProblem?: (problem: Problem) => void;
}

const SAME_BUT_TRIGGER = { triggeredAt: undefined };
/** Key of an object without a name. */
const NAMELESS = 'without a name';

export class Tracker implements ObjectSink {
  readonly #options: TrackerOptions;
  readonly #families: readonly IPFamily[];
  readonly #services = new Map<string, Service>();
  readonly #slices = new Slices();
  readonly #problems: Problems;
  readonly #node: NodeView;
  readonly #seen: Readonly<Record<ObjectKind, Seen>> = {
    Service: new Seen(),
    EndpointSlice: new Seen(),
    Node: new Seen(),
    ServiceCIDR: new Seen(),
  };
  readonly #synced = new Set<ObjectKind>();
  readonly #work: Readonly<Record<IPFamily, FamilyWork>> = { IPv4: new FamilyWork(), IPv6: new FamilyWork() };
  #waitsForNode = true;

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#problems = new Problems(options.onProblem);
    this.#node = new NodeView(options.node, options.interfaceAddresses);
    this.#families = options.families ?? IP_FAMILIES;
  }

  /** Objects that are malformed as they are now. */
  get problems(): readonly Problem[] {
    return this.#problems.all;
  }

  /** Number of objects skipped since the start. */
  get skipped(): number {
    return this.#problems.skipped;
  }

  get serviceCount(): number {
    return this.#services.size;
  }

  /** Lists and facts that are awaited before rules may be made; undefined when none is. */
  waitingFor(): string | undefined {
    const kinds = this.#kindsNeeded.filter((kind) => !this.#synced.has(kind));
    if (kinds.length > 0) return `the first list of ${kinds.join(', ')}`;
    return this.#waitsForNode ? this.#node.awaited() : undefined;
  }

  /** Ends the wait for facts of the Node object. Lists are waited for all the same. */
  goOn(): void {
    this.#waitsForNode = false;
    this.#options.onChange?.();
  }

  /** Facts that rules are made without; none before the first list of Nodes. */
  missing(): readonly Missing[] {
    return this.#synced.has('Node') ? this.#node.missing() : [];
  }

  replace(kind: ObjectKind, objects: readonly unknown[]): void {
    for (const _ of this.replacing(kind, objects));
  }

  /**
   * Replaces object by object, for callers that rest in between. Nothing is removed, and the kind is not synced, before all
   * are here. Work may be taken meanwhile, and other kinds may change: this one must not.
   */
  *replacing(kind: ObjectKind, objects: readonly unknown[]): Generator<void, void> {
    const seen = this.#seen[kind];
    const keys: string[] = [];
    let isPast = false;
    for (const object of objects) {
      const key = keyOf(kind, object) ?? NAMELESS;
      keys.push(key);
      isPast ||= seen.isPast(key, object);
      yield;
    }
    for (const [i, key] of keys.entries()) {
      if (isPast || !seen.has(key, objects[i])) this.#put(kind, key, objects[i]);
      yield;
    }
    const there = new Set(keys);
    for (const key of seen.keys()) {
      if (!there.has(key)) this.#removeKey(kind, key);
      yield;
    }
    this.#synced.add(kind);
    this.#options.onChange?.();
  }

  put(kind: ObjectKind, object: unknown): void {
    this.#put(kind, keyOf(kind, object) ?? NAMELESS, object);
    this.#options.onChange?.();
  }

  remove(kind: ObjectKind, object: unknown): void {
    const key = keyOf(kind, object);
    if (key !== undefined) this.#removeKey(kind, key);
    this.#options.onChange?.();
  }

  hasWork(family: IPFamily): boolean {
    return !this.#work[family].isEmpty;
  }

  /** Compares the node's context, and makes everything dirty if it changed. */
  refreshNode(): void {
    for (const family of this.#families) {
      const work = this.#work[family];
      if (work.node !== undefined && work.node !== this.#node.context(family)) work.node = undefined;
    }
    if (this.#families.some((family) => this.#work[family].node === undefined)) this.#options.onChange?.();
  }

  /** Hands over what one family has to do, and forgets it. Call only when nothing is waited for. */
  take(family: IPFamily): Work {
    const steps = this.taking(family);
    for (let next = steps.next(); ; next = steps.next()) if (next.done === true) return next.value;
  }

  /**
   * Takes work Service by Service, for callers that rest in between: a change meanwhile is seen, or is work for the next time.
   * Services that were not reached are work again.
   */
  *taking(family: IPFamily): Generator<void, Work> {
    const work = this.#work[family];
    const node = this.#node.context(family);
    const nodeChanged = node !== work.node;
    work.node = node;
    const left = work.take(nodeChanged ? this.#services.keys() : undefined);
    const services: ServiceEndpoints[] = [];
    const gone: string[] = [];
    try {
      for (const [name, triggeredAt] of left) {
        const resolved = this.#resolve(name, node, triggeredAt);
        gone.push(...work.compiled(name, new Set(resolved.map(({ port }) => ownerOf(port.name)))));
        services.push(...resolved);
        left.delete(name);
        yield;
      }
    } finally {
      for (const [name, times] of left) this.#markDirty(name, family, (later) => [...times, ...later]);
    }
    return { node, nodeChanged, services, gone };
  }

  /** Health check of a Service `ns/name` as it is now; undefined for one without. */
  healthCheck(service: string, family: IPFamily): HealthCheck | undefined {
    const { nodeName } = this.#options.node;
    return healthCheckOf(this.#services.get(service), this.#slices.of(service), family, nodeName);
  }

  get #kindsNeeded(): readonly ObjectKind[] {
    return this.#options.node.seesServiceCIDRs ? OBJECT_KINDS : OBJECT_KINDS.filter((kind) => kind !== 'ServiceCIDR');
  }

  #resolve(name: string, node: NodeContext, triggeredAt: readonly number[]): readonly ServiceEndpoints[] {
    const ports = this.#services.get(name)?.ports[node.family] ?? [];
    const slices = this.#slices.of(name);
    const place = { nodeName: node.name, zone: node.zone };
    return ports.map((port) => {
      const wanted = { name: port.name.port, protocol: port.name.protocol, family: node.family };
      return resolve(port, mergeSlices(slices, wanted, node.name), place, triggeredAt);
    });
  }

  #put(kind: ObjectKind, key: string, object: unknown): void {
    try {
      this.#read(kind, object);
      this.#problems.settle(kind, key);
      this.#seen[kind].read(key, object);
    } catch (error) {
      this.#seen[kind].unread(key);
      if (kind === 'EndpointSlice') this.#disown(object, key);
      const message = error instanceof Malformed ? error.message : `cannot be read: ${excerpt(String(error))}`;
      this.#problems.skip({ kind, key, message });
    }
  }

  /** A slice that cannot be read keeps its endpoints, though not for a Service that it does not belong to any more. */
  #disown(object: unknown, key: string): void {
    const known = this.#slices.serviceOf(key);
    if (known !== undefined && readServiceOf(object) !== known) this.#removeSlice(key);
  }

  #read(kind: ObjectKind, object: unknown): void {
    if (kind === 'Service') this.#putService(readService(object));
    else if (kind === 'EndpointSlice') this.#putSliceOrNone(object);
    else if (kind === 'Node') {
      if (this.#node.putNode(readNode(object))) this.refreshNode();
    } else {
      this.#node.putServiceCIDR(readMeta(object, kind).name, readServiceCIDR(object));
      this.refreshNode();
    }
  }

  #putService(service: Service): void {
    const key = objectKey(service);
    const former = this.#services.get(key);
    this.#services.set(key, service);
    this.#portsChanged(key, former, service);
  }

  #portsChanged(key: string, former: Service | undefined, service: Service | undefined): void {
    for (const family of IP_FAMILIES) {
      const isSame = isDeepStrictEqual(former?.ports[family] ?? [], service?.ports[family] ?? []);
      if (!isSame) this.#markDirty(key, family);
    }
  }

  /** A slice without a Service is no problem, and leaves the Service that it belonged to. */
  #putSliceOrNone(object: unknown): void {
    const slice = readSlice(object);
    if (slice !== undefined) this.#putSlice(slice);
    else this.#removeSlice(objectKey(readMeta(object, 'EndpointSlice')));
  }

  #removeSlice(key: string): void {
    const slice = this.#slices.remove(key);
    if (slice !== undefined) this.#endpointsGone(slice);
  }

  #putSlice(slice: Slice): void {
    const known = this.#slices.put(slice);
    if (isDeepStrictEqual({ ...known, ...SAME_BUT_TRIGGER }, { ...slice, ...SAME_BUT_TRIGGER })) return;
    const isElsewhere = known?.service !== slice.service || known.family !== slice.family;
    if (known !== undefined && isElsewhere) this.#endpointsGone(known);
    // slices of the first list were triggered before this process watched
    const isNews = slice.triggeredAt !== undefined && this.#synced.has('EndpointSlice');
    this.#endpointsChanged(slice, (times) => (isNews ? [...times, slice.triggeredAt] : times));
  }

  /** Endpoints of an unknown Service are resolved when it comes. */
  #endpointsChanged({ service, family }: Slice, toTimes: (times: TriggerTimes) => TriggerTimes): void {
    if (family === undefined || (this.#services.get(service)?.ports[family].length ?? 0) === 0) return;
    this.#markDirty(service, family, toTimes);
  }

  /** A removal carries no trigger time, and earlier times may be those of the removed slice. */
  #endpointsGone(slice: Slice): void {
    this.#endpointsChanged(slice, () => []);
  }

  #removeKey(kind: ObjectKind, key: string): void {
    this.#problems.settle(kind, key);
    this.#seen[kind].delete(key);
    if (kind === 'Service') {
      const former = this.#services.get(key);
      this.#services.delete(key);
      this.#portsChanged(key, former, undefined);
    } else if (kind === 'EndpointSlice') {
      this.#removeSlice(key);
    } else if (kind === 'Node') {
      this.#node.removeNode(key);
    } else if (this.#node.removeServiceCIDR(key)) {
      this.refreshNode();
    }
  }

  #markDirty(service: string, family: IPFamily, toTimes = (times: TriggerTimes) => times): void {
    if (this.#families.includes(family)) this.#work[family].mark(service, toTimes);
  }
}

const keyOf = (kind: ObjectKind, object: unknown): string | undefined => {
  try {
    return objectKey(readMeta(object, kind));
  } catch {
    return undefined;
  }
};
