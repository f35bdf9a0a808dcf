/**
 * Events in, dirty service names out: what the cluster looks like now, and what changed since a family last looked.
 *
 * Order of events does not matter: a slice may come before its Service. An object that cannot be read is left out,
 * counted and reported; what was known of it before stays. Knows neither backends nor where events come from.
 */
import { isDeepStrictEqual } from 'node:util';
import { IP_FAMILIES, type IPFamily } from './address.ts';
import { mergeSlices, readServiceOf, readSlice, type Slice } from './endpoint.ts';
import { excerpt } from './excerpt.ts';
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

/** What one family has to compile again. */
export interface Work {
  readonly node: NodeContext;
  /** The node itself changed, so `services` is all there are. */
  readonly nodeChanged: boolean;
  readonly services: readonly ServiceEndpoints[];
  /** Owners that are no more. */
  readonly gone: readonly string[];
}

export interface TrackerOptions {
  readonly node: NodeOptions;
  /** Families that somebody takes work for; both unless said. */
  readonly families?: readonly IPFamily[];
  /**
   * Addresses of the machine, asked for at each take: the same array as long as they are the same. Undefined where there is no
   * machine (a dump): those of the Node object are used.
   */
  readonly interfaceAddresses?: () => readonly string[];
  readonly onChange?: () => void;
  readonly onProblem?: (problem: Problem) => void;
}

interface FamilyView {
  /** Service to look at again → when the changes of its endpoints were triggered. */
  dirty: Map<string, readonly number[]>;
  /** Service → the owners that it had when last looked at. */
  readonly owners: Map<string, readonly string[]>;
  /** As it was last taken; undefined where it has to be taken again. */
  node: NodeContext | undefined;
}

/** First in a first sync: everything else on a new node waits for the API server's address. */
const API_SERVICE = 'default/kubernetes';
const SAME_BUT_TRIGGER = { triggeredAt: undefined };
/** The key of what has none. */
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
  readonly #views: Readonly<Record<IPFamily, FamilyView>>;
  #isPatient = true;

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#problems = new Problems(options.onProblem);
    this.#node = new NodeView(options.node, options.interfaceAddresses);
    this.#families = options.families ?? IP_FAMILIES;
    const view = (): FamilyView => ({ dirty: new Map(), owners: new Map(), node: undefined });
    this.#views = { IPv4: view(), IPv6: view() };
  }

  /** Objects that cannot be read at the moment. */
  get problems(): readonly Problem[] {
    return this.#problems.all;
  }

  /** How often an object had to be skipped. */
  get skipped(): number {
    return this.#problems.skipped;
  }

  get serviceCount(): number {
    return this.#services.size;
  }

  /** What is still awaited before rules may be made; undefined when nothing is. */
  waitingFor(): string | undefined {
    const kinds = this.#kindsNeeded.filter((kind) => !this.#synced.has(kind));
    if (kinds.length > 0) return `the first list of ${kinds.join(', ')}`;
    return this.#isPatient ? this.#node.awaited() : undefined;
  }

  /** From now on rules are made without what the Node object lacks. Lists are waited for all the same. */
  goOn(): void {
    this.#isPatient = false;
    this.#options.onChange?.();
  }

  /** What rules are made without, though they would be better with it. Nothing before the Node was looked for. */
  missing(): readonly Missing[] {
    return this.#synced.has('Node') ? this.#node.missing() : [];
  }

  replace(kind: ObjectKind, objects: readonly unknown[]): void {
    for (const _ of this.replacing(kind, objects));
  }

  /**
   * The same object by object, for those who rest in between. Nothing is removed, and the kind is not synced, before all are
   * here. Work may be taken meanwhile, and other kinds may change: this one must not.
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
    const view = this.#views[family];
    return view.dirty.size > 0 || view.node === undefined;
  }

  /** The node's addresses may have changed: looks again, and makes everything dirty if they did. */
  refreshNode(): void {
    for (const family of this.#families) {
      const view = this.#views[family];
      if (view.node !== undefined && view.node !== this.#node.context(family)) view.node = undefined;
    }
    if (this.#families.some((family) => this.#views[family].node === undefined)) this.#options.onChange?.();
  }

  /** Hands over what one family has to do, and forgets it. Call only when nothing is waited for. */
  take(family: IPFamily): Work {
    const steps = this.taking(family);
    for (let next = steps.next(); ; next = steps.next()) if (next.done === true) return next.value;
  }

  /**
   * The same Service by Service, for those who rest in between: what changes meanwhile is seen as it is by then, or is
   * work for the next time. What was not got to is work again.
   */
  *taking(family: IPFamily): Generator<void, Work> {
    const view = this.#views[family];
    const node = this.#node.context(family);
    const nodeChanged = node !== view.node;
    view.node = node;
    const left = this.#takeDirty(view, nodeChanged);
    const services: ServiceEndpoints[] = [];
    const gone: string[] = [];
    try {
      for (const [name, triggeredAt] of left) {
        const resolved = this.#resolve(name, node, triggeredAt);
        const owners = new Set(resolved.map(({ port }) => ownerOf(port.name)));
        gone.push(...(view.owners.get(name) ?? []).filter((owner) => !owners.has(owner)));
        if (owners.size === 0) view.owners.delete(name);
        else view.owners.set(name, [...owners]);
        services.push(...resolved);
        left.delete(name);
        yield;
      }
    } finally {
      for (const [name, times] of left) this.#markDirty(name, family, (later) => [...times, ...later]);
    }
    return { node, nodeChanged, services, gone };
  }

  #takeDirty(view: FamilyView, isAll: boolean): Map<string, readonly number[]> {
    const { dirty } = view;
    view.dirty = new Map();
    const names = isAll ? [...this.#services.keys(), ...view.owners.keys(), ...dirty.keys()] : dirty.keys();
    const ordered = view.owners.size === 0 ? [API_SERVICE, ...names] : names;
    return new Map([...ordered].map((name) => [name, dirty.get(name) ?? []]));
  }

  /** What a load balancer may ask about one Service `ns/name`, as things stand; undefined when nothing. */
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

  /** One that belongs to no Service is nobody's trouble, and is no more the Service's that it may have been of. */
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
    // what the first list brings was triggered before we were here
    const isNews = slice.triggeredAt !== undefined && this.#synced.has('EndpointSlice');
    this.#endpointsChanged(slice, (times) => (isNews ? [...times, slice.triggeredAt] : times));
  }

  /** Endpoints of a Service that is not known are looked at when it comes. */
  #endpointsChanged({ service, family }: Slice, toTimes: (times: readonly number[]) => readonly number[]): void {
    if (family === undefined || (this.#services.get(service)?.ports[family].length ?? 0) === 0) return;
    this.#markDirty(service, family, toTimes);
  }

  /** A removal carries no time, and the times so far may be those of what is removed. */
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

  #markDirty(service: string, family: IPFamily, toTimes = (times: readonly number[]) => times): void {
    if (!this.#families.includes(family)) return;
    const { dirty } = this.#views[family];
    dirty.set(service, toTimes(dirty.get(service) ?? []));
  }
}

const keyOf = (kind: ObjectKind, object: unknown): string | undefined => {
  try {
    return objectKey(readMeta(object, kind));
  } catch {
    return undefined;
  }
};
