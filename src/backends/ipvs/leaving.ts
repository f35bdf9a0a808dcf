/**
 * Mode ipvs as one leaves it, for another mode that serves by now.
 *
 * New connections are led elsewhere before they reach IPVS: what is left are those that were there before. They go on for
 * as long as the virtual server and its real server stay, and the address on the link. So a read shows what may go, and
 * leaves out what somebody's connection needs; real servers lose their weight with the first write, whatever else stays.
 * All of that is in the kernel: who goes on after a restart finds it as it was.
 *
 * Chains are the other mode's by now. Two go with the addresses: the one that guards the host's own ports, and one for the
 * node's own calls, which have the Service's address as their source while it is the node's own. kube-proxy has it not.
 */
import type { Batch, Departing, Part, Section } from '../../dataplane/contract.ts';
import { byId, Turn } from '../../dataplane/turn.ts';
import type { ServiceKey } from '../../ipvs-netlink/types.ts';
import type { IpvsConnection } from '../../kernel/ipvs-connections.ts';
import type { IPFamily } from '../../model/address.ts';
import type { Flow } from '../../netlink/conntrack.ts';
import { asKernelError } from '../kernel-error.ts';
import type { Rules } from '../xtables/driver.ts';
import { goesWithAddresses } from '../xtables/names.ts';
import { type Chain, chainOf, type Jump } from '../xtables/objects.ts';
import { ownCalls } from './base.ts';
import { Draining } from './draining.ts';
import { type Handles, hasAddresses } from './handles.ts';
import { BusyServers, type FrontsOf, findInUse, frontsIn, type InUse, isUdp } from './in-use.ts';
import { Marks } from './marks.ts';
import { formatObject, type Held, realServer, type Wish } from './objects.ts';
import { type MessageChange, type Payload, plan } from './plan.ts';
import { print } from './print.ts';
import { readHeld } from './read.ts';
import type { IpvsSettings } from './settings.ts';
import { writeNumbered } from './write.ts';

/** Tracked UDP flows. */
export interface FlowTable {
  /** Those that came to one of these: `10.96.0.10 53`. */
  to(places: ReadonlySet<string>, family: IPFamily): Promise<readonly Flow[]>;
  /** Unless they have been replaced meanwhile. */
  delete(flows: readonly Flow[]): void;
}

export interface LeavingKernel {
  readonly handles: Handles;
  readonly rules: Readonly<Record<IPFamily, Rules>>;
  /** Milliseconds of a clock that nobody sets. */
  readonly now?: () => number;
  readonly connections: () => AsyncIterable<IpvsConnection>;
  readonly flows: FlowTable;
}

export interface LeavingOptions {
  readonly family: IPFamily;
  readonly settings: IpvsSettings;
  readonly kernel: LeavingKernel;
  /** Of the mode that serves now. */
  readonly masqueradeMark: number;
}

export class Leaving implements Departing<Wish, Payload> {
  readonly mode = 'ipvs';
  readonly groupSize = 1;
  readonly plan = plan;
  readonly print = (sections: readonly Section<Wish>[]): readonly Part[] => print(sections, this.#marks.settings);
  readonly #options: LeavingOptions;
  readonly #draining: Draining;
  readonly #marks: Marks;
  #frontsOf: FrontsOf = () => [];
  #awaited = 0;
  #isShielded = false;

  constructor(options: LeavingOptions) {
    const { kernel } = options;
    this.#options = options;
    this.#draining = new Draining(kernel.handles.ipvs, kernel.now);
    this.#marks = new Marks(options.settings.marks);
  }

  /** Connections for which the last read left something out. */
  get awaited(): number {
    return this.#awaited;
  }

  /** Nothing is wanted any more. */
  base(): never {
    throw new Error('a mode that is left serves nobody');
  }

  compile(): never {
    return this.base();
  }

  format(object: Wish): string {
    return object.kind === 'frontend' || object.kind === 'chain' || object.kind === 'jump'
      ? object.id
      : formatObject(object);
  }

  /** What may go by now. Throws KernelError. */
  async read(): Promise<ReadonlyMap<string, Held>> {
    const { family, settings, kernel } = this.#options;
    try {
      const busy = new BusyServers();
      const held = await readHeld(
        kernel.handles,
        this.#draining,
        family,
        settings,
        [],
        this.#marks,
        (key, destination) => busy.add(key, destination),
      );
      this.#frontsOf = frontsIn(held);
      const inUse = await findInUse(busy.all, this.#frontsOf, kernel.connections);
      this.#awaited = inUse.connections;
      // chains look into sets: without any there is none, and nobody needs the tool
      const needsRules = inUse.connections === 0 && held.some(({ kind }) => kind === 'set');
      const free = await byId<Held>(needsRules ? await this.#rules() : []);
      // both families use the link
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

  /** UDP flows go with their virtual server, so that each client's next packet is led to where it is served now. */
  async apply({ payload }: Batch<Payload>): Promise<void> {
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

  /** Once, while something is awaited: the node's own calls leave with an address of the node. Throws KernelError. */
  shield(): Promise<void> {
    return inItsTerms(() => this.#shield());
  }

  async #shield(): Promise<void> {
    if (this.#isShielded || !(await this.#hasAddresses())) return;
    const have = await this.#rules();
    const missing = ownCalls(this.#options).filter(
      ({ id, content }) => !have.some((o) => o.id === id && o.content === content),
    );
    for (const batch of plan(missing.map((object) => ({ op: 'add', object }))))
      if (batch !== undefined) await this.apply(batch);
    this.#isShielded = true;
  }

  async #rules(): Promise<readonly (Chain | Jump)[]> {
    const rules = await this.#options.kernel.rules[this.#options.family].read();
    return [...rules.values()].filter((object) => goesWithAddresses(object.table, chainOf(object)));
  }

  /** Sets stay until the last connection has ended: chains look into them. */
  #mayGo(object: Held, inUse: InUse): boolean {
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

  /** What is known of a mark's protocol is known here only. */
  #leaving(object: Held): Held {
    if (object.kind !== 'real-server' || !isUdp(this.#frontsOf(object.service))) return object;
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
    const fronts = new Set(keys.flatMap((key) => (isUdp(this.#frontsOf(key)) ? this.#frontsOf(key) : [])));
    return new Set([...fronts].map((front) => front.replace('UDP ', '')));
  }
}

/** What netlink throws becomes the contract's: else it would end who waits, where it is to be tried again. */
const inItsTerms = async <T>(run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    throw asKernelError(error);
  }
};
