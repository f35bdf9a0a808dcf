/** Frontends to the objects that they are made of. A frontend is granted as a whole, so no two ever want one object. */
import type { Arranger, Change } from '../../dataplane/contract.ts';
import type { Wish } from './objects.ts';

export class Frontends implements Arranger<Wish> {
  readonly mixes = false;
  /** Object → the frontend that it is part of. */
  readonly #frontendOf = new Map<string, string>();

  arrange(changes: readonly Change<Wish>[]): readonly Change<Wish>[] {
    const spans = spansOf(changes);
    // what one frontend gives up another may take over: what is wanted comes last, and counts
    const gone = spans.flatMap(({ before, after }) => this.#takeApart(before, after));
    const come = spans.flatMap(({ after }) => this.#putTogether(after));
    return [...gone, ...come];
  }

  sources(id: string): readonly string[] {
    const frontend = this.#frontendOf.get(id);
    return frontend === undefined ? [] : [frontend];
  }

  #takeApart(former: Wish | undefined, latter: Wish | undefined): readonly Change<Wish>[] {
    if (former === undefined) return [];
    if (former.kind !== 'frontend') return latter === undefined ? [{ op: 'remove', object: former }] : [];
    return former.objects.map((object) => {
      this.#frontendOf.delete(object.id);
      return { op: 'remove' as const, object };
    });
  }

  #putTogether(object: Wish | undefined): readonly Change<Wish>[] {
    if (object === undefined) return [];
    if (object.kind !== 'frontend') return [{ op: 'add', object }];
    return object.objects.map((part) => {
      this.#frontendOf.set(part.id, object.id);
      return { op: 'add' as const, object: part };
    });
  }
}

interface Span {
  readonly before: Wish | undefined;
  readonly after: Wish | undefined;
}

/** One wish may change several times, as when a younger Service is seen before the older one: the ends alone count. */
const spansOf = (changes: readonly Change<Wish>[]): readonly Span[] => {
  const spans = new Map<string, Span>();
  for (const change of changes) {
    const { op, object } = change;
    const previous = op === 'replace' ? change.previous : op === 'remove' ? object : undefined;
    const known = spans.get(object.id);
    spans.set(object.id, {
      before: known === undefined ? previous : known.before,
      after: op === 'remove' ? undefined : object,
    });
  }
  return [...spans.values()];
};
