/**
 * Mode ipvs while it is left for another mode, which serves by now.
 *
 * New connections are translated before they reach IPVS. Established ones go on as long as the virtual server, its real
 * server and the address on the link stay. So a read lists what may be removed, and leaves out what an established
 * connection needs. Real servers get weight 0 with the first write. All state is in the kernel, so a restarted proxy goes
 * on where the former one was.
 *
 * Chains belong to the other mode by now. Two are removed with the addresses: the filter of the host's own ports, and the
 * chain for the node's own packets, whose source is the Service's address while the node has that address (kube-proxy has
 * no such chain).
 */
import type { Batch, Departing, Section, ToolInput } from '../../dataplane/contract.ts';
import { byId, Turn } from '../../dataplane/turn.ts';
import type { ServiceKey } from '../../ipvs-netlink/types.ts';
import type { IpvsConnection } from '../../kernel/ipvs-connections.ts';
import type { IPFamily } from '../../model/address.ts';
import type { Flow } from '../../netlink/conntrack.ts';
import { asKernelError } from '../kernel-error.ts';
import type { RulesDriver } from '../xtables/driver.ts';
import { isNeededByAddresses } from '../xtables/names.ts';
import { chainOf, type Jump, type XtablesChain } from '../xtables/objects.ts';
import { ownTrafficMasquerade } from './base.ts';
import { Draining } from './draining.ts';
import { type Handles, hasAddresses } from './handles.ts';
import { BusyServers, type FrontendKeysOf, findInUse, frontendKeysIn, type InUse, isUdp } from './in-use.ts';
import { PacketMarks } from './marks.ts';
import { type DesiredIpvsObject, formatObject, type IpvsObject, realServer } from './objects.ts';
import { type IpvsPayload, type MessageChange, plan } from './plan.ts';
import { print } from './print.ts';
import { readIpvsObjects } from './read.ts';
import type { IpvsSettings } from './settings.ts';
import { writeNumbered } from './write.ts';

/** UDP flows of conntrack. */
export interface FlowTable {
  /** Flows to one of these destinations, such as `10.96.0.10 53`. */
  to(places: ReadonlySet<string>, family: IPFamily): Promise<readonly Flow[]>;
  /** Deletes flows, unless the kernel has replaced them meanwhile. */
  delete(flows: readonly Flow[]): void;
}

export interface DepartingIpvsKernel {
  readonly handles: Handles;
  readonly rules: Readonly<Record<IPFamily, RulesDriver>>;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
  readonly connections: () => AsyncIterable<IpvsConnection>;
  readonly flows: FlowTable;
}

export interface DepartingIpvsOptions {
  readonly family: IPFamily;
  readonly settings: IpvsSettings;
  readonly kernel: DepartingIpvsKernel;
  /** Masquerade mark of the mode that serves now. */
  readonly masqueradeMark: number;
}

export class DepartingIpvs implements Departing<DesiredIpvsObject, IpvsPayload> {
  readonly mode = 'ipvs';
  readonly groupSize = 1;
  readonly plan = plan;
  readonly print = (sections: readonly Section<DesiredIpvsObject>[]): readonly ToolInput[] =>
    print(sections, this.#marks.settings);
  readonly #options: DepartingIpvsOptions;
  readonly #draining: Draining;
  readonly #marks: PacketMarks;
  #frontendKeysOf: FrontendKeysOf = () => [];
  #awaited = 0;
  #isShielded = false;

  constructor(options: DepartingIpvsOptions) {
    const { kernel } = options;
    this.#options = options;
    this.#draining = new Draining(kernel.handles.ipvs, kernel.now);
    this.#marks = new PacketMarks(options.settings.marks);
  }

  /** Established connections for which the last read left objects out. */
  get awaited(): number {
    return this.#awaited;
  }

  /** Throws: nothing is desired of a mode that is left. */
  base(): never {
    throw new Error('a mode that is left serves nobody');
  }

  compile(): never {
    return this.base();
  }

  format(object: DesiredIpvsObject): string {
    return object.kind === 'frontend' || object.kind === 'chain' || object.kind === 'jump'
      ? object.id
      : formatObject(object);
  }

  /** Reads the objects that may be removed. Throws KernelError. */
  async read(): Promise<ReadonlyMap<string, IpvsObject>> {
    const { family, settings, kernel } = this.#options;
    try {
      const busy = new BusyServers();
      const held = await readIpvsObjects(
        kernel.handles,
        this.#draining,
        family,
        settings,
        [],
        this.#marks,
        (key, destination) => busy.add(key, destination),
      );
      this.#frontendKeysOf = frontendKeysIn(held);
      const inUse = await findInUse(busy.all, this.#frontendKeysOf, kernel.connections);
      this.#awaited = inUse.connections;
      // chains match sets: without sets there are no chains, and the iptables tool is not run
      const needsRules = inUse.connections === 0 && held.some(({ kind }) => kind === 'set');
      const free = await byId<IpvsObject>(needsRules ? await this.#rules() : []);
      // the link goes when neither family has an address on it
      const goes = inUse.connections === 0 && !(await this.#hasOthersAddresses());
      const turn = new Turn();
      for (const object of held) {
        if (turn.isOver()) await turn.rest();
        if (object.kind === 'device' ? goes : this.#mayGo(object, inUse)) free.set(object.id, this.#leaving(object));
      }
      return free;
    } catch (error) {
      throw asKernelError(error);
    }
  }

  /** Deletes UDP flows with their virtual server, so that a client's next packet is translated by the mode that serves now. */
  async apply({ payload }: Batch<IpvsPayload>): Promise<void> {
    const { family, kernel } = this.#options;
    if (payload.by === 'iptables') return kernel.rules[family].write(payload.input);
    await inItsTerms(() => this.#write(payload.changes));
  }

  async #write(changes: readonly MessageChange[]): Promise<void> {
    const { family, kernel } = this.#options;
    const places = this.#udpPlaces(changes);
    const flows = places.size === 0 ? [] : await kernel.flows.to(places, family);
    await writeNumbered(kernel.handles, this.#draining, this.#marks, changes);
    kernel.flows.delete(flows);
  }

  /** Adds the masquerade of the node's own packets, once, while connections are awaited. Throws KernelError. */
  shield(): Promise<void> {
    return inItsTerms(() => this.#shield());
  }

  async #shield(): Promise<void> {
    if (this.#isShielded || !(await this.#hasAddresses())) return;
    const have = await this.#rules();
    const missing = ownTrafficMasquerade(this.#options).filter(
      ({ id, content }) => !have.some((o) => o.id === id && o.content === content),
    );
    for (const batch of plan(missing.map((object) => ({ op: 'add', object }))))
      if (batch !== undefined) await this.apply(batch);
    this.#isShielded = true;
  }

  async #rules(): Promise<readonly (XtablesChain | Jump)[]> {
    const rules = await this.#options.kernel.rules[this.#options.family].read();
    return [...rules.values()].filter((object) => isNeededByAddresses(object.table, chainOf(object)));
  }

  /** Whether an object may be removed. Sets stay until the last connection has ended: chains match them. */
  #mayGo(object: IpvsObject, inUse: InUse): boolean {
    switch (object.kind) {
      case 'timeouts':
      case 'sysctl':
        return false;
      case 'set':
        return inUse.connections === 0;
      default:
        return !inUse.needs(object);
    }
  }

  /** Real servers of UDP do not drain. The protocol behind a mark is known from the entries of the last read only. */
  #leaving(object: IpvsObject): IpvsObject {
    if (object.kind !== 'real-server' || !isUdp(this.#frontendKeysOf(object.service))) return object;
    return realServer(object.service, object.key, object.settings, false);
  }

  #hasAddresses(family: IPFamily = this.#options.family): Promise<boolean> {
    return hasAddresses(this.#options.kernel.handles, family);
  }

  #hasOthersAddresses(): Promise<boolean> {
    return this.#hasAddresses(this.#options.family === 'IPv4' ? 'IPv6' : 'IPv4');
  }

  #udpPlaces(changes: readonly MessageChange[]): ReadonlySet<string> {
    const keys = changes.flatMap(({ object }): readonly ServiceKey[] =>
      object.kind === 'virtual-server' ? [object.key] : object.kind === 'real-server' ? [object.service] : [],
    );
    const frontends = new Set(
      keys.flatMap((key) => (isUdp(this.#frontendKeysOf(key)) ? this.#frontendKeysOf(key) : [])),
    );
    return new Set([...frontends].map((frontend) => frontend.replace('UDP ', '')));
  }
}

/** Converts netlink errors to KernelError, which the caller retries: any other error would end the departure. */
const inItsTerms = async <T>(run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    throw asKernelError(error);
  }
};
