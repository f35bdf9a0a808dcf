/**
 * Packet marks that select virtual servers, one a service port.
 *
 * Desired objects name a mark. The driver alone knows which number inside the mask a name has, and records it in a set in
 * the kernel: desired state depends on no history, and no number changes while it is in use. IPVS compares all 32 bits of a
 * mark. Each number has the mask's highest bit, so a mark of others with lower bits only selects no virtual server.
 */
import type { ServiceKey } from '../../ipvs-netlink/types.ts';
import type { ServicePort } from '../../model/service.ts';

export interface MarkSettings {
  /** Bits of a packet mark that are set and compared, without the masquerade bit. */
  readonly mask: number;
  readonly masqueradeMark: number;
}

/** Key of a virtual server by the name of its mark. `isOwn`: with the masquerade bit, as the node's own packets carry it. */
export interface MarkKey {
  readonly mark: string;
  readonly isOwn: boolean;
  readonly family: 'IPv4' | 'IPv6';
  /** 0 until numbered. */
  readonly fwmark: number;
}

/** Name of a service port's mark, `10.96.0.1 tcp 80`: the API server gives each ClusterIP to one Service. */
export const markName = ({ clusterIP, name, port }: ServicePort): string =>
  `${clusterIP} ${name.protocol.toLowerCase()} ${port}`;

export const markKey = (mark: string, family: MarkKey['family'], isOwn: boolean): MarkKey => ({
  mark,
  isOwn,
  family,
  fwmark: 0,
});

export const isMarkKey = (key: ServiceKey | MarkKey): key is MarkKey => 'mark' in key;

/** Bits of a mask, lowest first, as numbers. */
const bitsOf = (mask: number): readonly number[] =>
  Array.from({ length: 32 }, (_, i) => 2 ** i).filter((bit) => (mask & bit) !== 0);

/** Marks that a read has seen. */
export interface MarksFound {
  /** Names by number. */
  readonly recorded: ReadonlyMap<number, string>;
  /** Numbers of any virtual server or entry, also of others. */
  readonly seen: Iterable<number>;
}

export class PacketMarks {
  readonly settings: MarkSettings;
  readonly #bits: readonly number[];
  readonly #numbers = new Map<string, number>();
  readonly #names = new Map<number, string>();
  /** Numbers in the kernel that have no name of ours. */
  #foreign = new Set<number>();
  /** Index below which none is free. */
  #lowest = 0;
  /** Turn of the last write, by name. */
  readonly #written = new Map<string, number>();
  #turn = 0;

  constructor(settings: MarkSettings) {
    this.settings = settings;
    this.#bits = bitsOf(settings.mask);
  }

  /** Numbers that the mask has room for. */
  get size(): number {
    return this.#bits.length === 0 ? 0 : 2 ** (this.#bits.length - 1);
  }

  /** Number of a name, allocated if it has none yet. Undefined: none is free. */
  numberOf(name: string): number | undefined {
    this.#written.set(name, this.#turn);
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    for (; this.#lowest < this.size; this.#lowest += 1) {
      const number = this.#number(this.#lowest);
      if (this.#names.has(number) || this.#isForeign(number)) continue;
      this.#put(name, number);
      return number;
    }
    return undefined;
  }

  /** Number of a name. Undefined: it has none. */
  known(name: string): number | undefined {
    return this.#numbers.get(name);
  }

  nameOf(number: number): string | undefined {
    return this.#names.get(number);
  }

  /** Key of a virtual server with the name of its mark, if it has one. */
  named(key: ServiceKey): ServiceKey | MarkKey {
    if (!('fwmark' in key)) return key;
    const { masqueradeMark } = this.settings;
    const isOwn = (key.fwmark & masqueradeMark) !== 0;
    const mark = this.#names.get((isOwn ? key.fwmark ^ masqueradeMark : key.fwmark) >>> 0);
    return mark === undefined ? key : { ...key, mark, isOwn };
  }

  /** Frees the number of a name, of which nothing is in the kernel any more. */
  release(name: string): void {
    this.#written.set(name, this.#turn);
    this.#remove(name);
  }

  /** Called before a read. The returned turn is passed to the next method with what the read has found. */
  begin(): number {
    this.#turn += 1;
    return this.#turn;
  }

  /**
   * Takes over the records that a read has found. Names written since the read began keep their number. A number whose
   * record others deleted stays with its name as long as any object uses it, so that its connections stay.
   */
  adopt({ recorded, seen }: MarksFound, begun: number): void {
    const isNewer = (name: string): boolean => (this.#written.get(name) ?? 0) >= begun;
    const found = new Map([...recorded].map(([number, name]) => [name, number]));
    const there = new Set(seen);
    const isInUse = (number: number): boolean =>
      !recorded.has(number) && (there.has(number) || there.has((number | this.settings.masqueradeMark) >>> 0));
    for (const [name, number] of this.#numbers) {
      const isKept = found.has(name) ? found.get(name) === number : isInUse(number);
      if (!isNewer(name) && !isKept) this.#remove(name);
    }
    for (const [name, number] of found) {
      const isFree = !this.#numbers.has(name) && !this.#names.has(number);
      if (isFree && !isNewer(name) && this.#isOurs(number)) this.#put(name, number);
    }
    for (const [name, turn] of this.#written) if (turn < begun) this.#written.delete(name);
    this.#foreign = new Set([...there].filter((number) => !('mark' in this.named({ fwmark: number, family: 'IPv4' }))));
    this.#lowest = 0;
  }

  #put(name: string, number: number): void {
    this.#numbers.set(name, number);
    this.#names.set(number, name);
  }

  #remove(name: string): void {
    const number = this.#numbers.get(name);
    if (number === undefined) return;
    this.#numbers.delete(name);
    this.#names.delete(number);
    this.#lowest = 0;
  }

  /** The n-th number: n in the lower bits of the mask, and the highest bit set. */
  #number(n: number): number {
    const bits = this.#bits.slice(0, -1).filter((_, i) => Math.floor(n / 2 ** i) % 2 === 1);
    return [...bits, this.#bits.at(-1) ?? 0].reduce((sum, bit) => sum + bit, 0);
  }

  #isOurs(number: number): boolean {
    return (number & ~this.settings.mask) === 0 && (number & (this.#bits.at(-1) ?? 0)) !== 0;
  }

  #isForeign(number: number): boolean {
    return this.#foreign.has(number) || this.#foreign.has((number | this.settings.masqueradeMark) >>> 0);
  }
}
