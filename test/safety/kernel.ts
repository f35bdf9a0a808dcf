/**
 * A kernel of objects that writes, reads and fails as it is told, and that knows what is wanted: whatever a write takes away
 * that was there as it is wanted is noted.
 *
 * Reads are slow and there is one handle for them: a second read while one runs is refused, as the kernel refuses a second
 * dump on one socket.
 */

import type { AnyBackend } from '../../src/backends/mode.ts';
import { type Backend, type Batch, type Change, KernelError, type KernelObject } from '../../src/dataplane/contract.ts';

/**
 * What becomes of one call. `torn` reads lack what the number picks: they say so once the kernel has refused something, as
 * isolation rests on what is read, and drivers know a torn list.
 */
export type Disturbance =
  | { readonly at: 'read'; readonly how: 'fails' | 'torn'; readonly pick: number }
  | { readonly at: 'apply'; readonly how: 'before' | 'after' | 'half' | 'refused'; readonly pick: number };

type Changes = readonly Change<KernelObject>[];

export class SafetyKernel {
  readonly objects = new Map<string, KernelObject>();
  readonly violations: string[] = [];
  /** One for each call that is yet to come, first come first served. */
  readonly disturbances: Disturbance[] = [];
  /** Refuses all that says this. */
  evil: string | undefined;
  /** All that it has refused for what it says. */
  readonly refused = new Set<string>();
  /** What is to be there, in the kernel's units: an object, or one rule of a chain that many share. */
  units: (object: KernelObject) => readonly string[] = (object) => [unitOf(object)];
  wanted: ReadonlyMap<string, readonly string[]> = new Map();
  isSetAside: (owner: string) => boolean = () => false;
  #readers = 0;

  backend(real: AnyBackend): Backend<KernelObject, Changes> {
    return {
      ...(real as unknown as Backend<KernelObject, Changes>),
      groupSize: 8,
      plan: (changes) => planOf(real, changes),
      read: () => this.#read(),
      apply: (batch) => this.#apply(batch),
    };
  }

  async #read(): Promise<ReadonlyMap<string, KernelObject>> {
    if (this.#readers > 0) this.violations.push('EBUSY: two reads over one handle');
    this.#readers += 1;
    const found = new Map(this.objects);
    await soon();
    this.#readers -= 1;
    const disturbance = this.#disturbanceAt('read');
    const isSaid = this.evil !== undefined || this.refused.size > 0;
    if (disturbance?.how === 'fails' || (disturbance?.how === 'torn' && isSaid))
      throw new KernelError('environment', 'no answer');
    if (disturbance?.how === 'torn') {
      const ids = [...found.keys()];
      for (let i = disturbance.pick; i < ids.length; i += 3) found.delete(ids[i] ?? '');
    }
    return found;
  }

  async #apply({ payload }: Batch<Changes>): Promise<void> {
    await soon();
    const disturbance = this.#disturbanceAt('apply');
    if (disturbance?.how === 'before') throw new KernelError('environment', 'the lock is held');
    if (disturbance?.how === 'refused') this.refused.add('anything');
    if (disturbance?.how === 'refused') throw new KernelError('content', 'Invalid argument');
    const { evil } = this;
    if (evil !== undefined && payload.some(({ op, object }) => op !== 'remove' && this.#adds(object, evil))) {
      this.refused.add(evil);
      throw new KernelError('content', `refused: ${evil}`);
    }
    this.#write(disturbance?.how === 'half' ? payload.slice(0, payload.length >> 1) : payload);
    if (disturbance !== undefined) throw new KernelError('environment', 'was killed');
  }

  #write(changes: Changes): void {
    const before = new Set([...this.objects.values()].flatMap(this.units));
    for (const { op, object } of changes) {
      if (op === 'remove') this.objects.delete(object.id);
      else this.objects.set(object.id, object);
    }
    const after = new Set([...this.objects.values()].flatMap(this.units));
    for (const unit of before) {
      if (after.has(unit)) continue;
      const owners = this.wanted.get(unit)?.filter((owner) => !this.isSetAside(owner)) ?? [];
      if (owners.length > 0) this.violations.push(`taken away from ${owners.join()}: ${unit}`);
    }
  }

  /** Whether this brings something evil into the kernel: what it has taken once it takes again. */
  #adds(object: KernelObject, evil: string): boolean {
    const has = new Set(this.objects.has(object.id) ? this.units(this.objects.get(object.id) ?? object) : []);
    const parts = this.units(object);
    return (parts.length > 1 ? parts.slice(1) : parts).some((unit) => unit.includes(evil) && !has.has(unit));
  }

  #disturbanceAt(at: Disturbance['at']): Disturbance | undefined {
    const next = this.disturbances.findIndex((one) => one.at === at);
    return next === -1 ? undefined : this.disturbances.splice(next, 1)[0];
  }
}

export const unitOf = ({ id, content }: KernelObject): string => `${id} | ${content}`;

export const says = (object: KernelObject, text: string): boolean => unitOf(object).includes(text);

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The real plan's batches, as changes: what a backend writes for an object that takes two batches counts at the first. */
function* planOf(real: AnyBackend, changes: Changes): Iterable<Batch<Changes>> {
  const left = new Map(changes.map((change) => [change.object.id, change]));
  for (const batch of real.plan(changes)) {
    if (batch === undefined) continue;
    const { ids } = batch;
    const payload = ids.flatMap((id) => left.get(id) ?? []);
    for (const id of ids) left.delete(id);
    yield { payload, ids };
  }
}
