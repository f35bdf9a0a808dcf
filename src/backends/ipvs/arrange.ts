/** Frontends to the objects that they are made of. A frontend is granted as a whole, so no two ever want one object. */
import type { Arranger, Change } from '../../dataplane/contract.ts';
import type { Wish } from './objects.ts';

export class Frontends implements Arranger<Wish> {
  readonly mixes = false;
  /** Object → the frontend that it is part of. */
  readonly #frontendOf = new Map<string, string>();

  arrange(changes: readonly Change<Wish>[]): readonly Change<Wish>[] {
    // what one frontend gives up another may take over: what is wanted comes last, and counts
    const gone = changes.flatMap((change) => this.#takeApart(change));
    const come = changes.flatMap((change) => this.#putTogether(change));
    return [...gone, ...come];
  }

  sources(id: string): readonly string[] {
    const frontend = this.#frontendOf.get(id);
    return frontend === undefined ? [] : [frontend];
  }

  #takeApart(change: Change<Wish>): readonly Change<Wish>[] {
    const former = change.op === 'replace' ? change.previous : change.op === 'remove' ? change.object : undefined;
    if (former === undefined) return [];
    if (former.kind !== 'frontend') return change.op === 'remove' ? [change] : [];
    return former.objects.map((object) => {
      this.#frontendOf.delete(object.id);
      return { op: 'remove' as const, object };
    });
  }

  #putTogether(change: Change<Wish>): readonly Change<Wish>[] {
    if (change.op === 'remove') return [];
    const { object } = change;
    if (object.kind !== 'frontend') return [change];
    return object.objects.map((part) => {
      this.#frontendOf.set(part.id, object.id);
      return { op: 'add' as const, object: part };
    });
  }
}
