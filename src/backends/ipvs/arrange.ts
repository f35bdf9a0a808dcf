/**
 * Takes frontends apart into their objects. A frontend is granted as a whole. Of two frontends at one address and port one
 * is installed: the one of an address goes before that of a NodePort, unless it has no endpoint. So no two frontends ever
 * want the same object.
 */
import type { Arranger, Change, Standing } from '../../dataplane/contract.ts';
import { type DesiredIpvsObject, type FrontendServers, frontendServers } from './objects.ts';

/** Frontends granted at one address and port: of the address itself, and of a NodePort. */
interface Candidates {
  readonly first: FrontendServers | undefined;
  readonly second: FrontendServers | undefined;
}

const NO_CANDIDATES: Candidates = { first: undefined, second: undefined };

const addressKeyOf = ({ id, yieldsTo }: FrontendServers): string => yieldsTo ?? id;

const installedOf = ({ first, second }: Candidates): FrontendServers | undefined =>
  first?.isVacant === true ? (second ?? first) : (first ?? second);

export class FrontendArranger implements Arranger<DesiredIpvsObject> {
  readonly mixes = false;
  /** Id of the frontend by object id. */
  readonly #frontendOf = new Map<string, string>();
  readonly #places = new Map<string, Candidates>();

  arrange(changes: readonly Change<DesiredIpvsObject>[]): readonly Change<DesiredIpvsObject>[] {
    const spans = this.#installedChanges(netChangesOf(changes));
    // another frontend may take over an object that one gives up: additions come last and win
    const gone = spans.flatMap(({ before, after }) => this.#removals(before, after));
    const come = spans.flatMap(({ after }) => this.#additions(after));
    return [...gone, ...come];
  }

  sources(id: string): readonly string[] {
    const frontend = this.#frontendOf.get(id);
    return frontend === undefined ? [] : [frontend];
  }

  /** Changes of the installed frontend at each address and port. Other objects pass unchanged. */
  #installedChanges(spans: readonly NetChange[]): readonly NetChange[] {
    const holders = new Map<string, FrontendServers | undefined>();
    const others: NetChange[] = [];
    for (const span of spans) {
      const frontend = asFrontend(span.after) ?? asFrontend(span.before);
      if (frontend === undefined) {
        others.push(span);
        continue;
      }
      const at = addressKeyOf(frontend);
      const place = this.#places.get(at) ?? NO_CANDIDATES;
      if (!holders.has(at)) holders.set(at, installedOf(place));
      const rank = frontend.yieldsTo === undefined ? 'first' : 'second';
      this.#settle(at, { ...place, [rank]: asFrontend(span.after) });
    }
    const changed = [...holders].map(([at, before]) => ({
      before,
      after: installedOf(this.#places.get(at) ?? NO_CANDIDATES),
    }));
    return [...others, ...changed.filter(({ before, after }) => before !== after)];
  }

  #settle(at: string, place: Candidates): void {
    if (installedOf(place) === undefined) this.#places.delete(at);
    else this.#places.set(at, place);
  }

  standing(have: ReadonlyMap<string, DesiredIpvsObject>): Standing<DesiredIpvsObject> {
    const isThere = ({ id, content }: FrontendPart): boolean => have.get(id)?.content === content;
    return {
      count: (wish) => (wish.kind === 'frontend' ? wish.objects.filter(isThere).length : undefined),
      merge: (wishes, filled) => {
        const parts = new Map<string, FrontendPart>(partsOf(filled).map((part) => [part.id, part]));
        for (const part of wishes.flatMap(partsOf)) {
          const found = have.get(part.id) as FrontendPart | undefined;
          if (found !== undefined && (isThere(part) || !parts.has(part.id))) parts.set(part.id, found);
        }
        const [first] = wishes.flatMap((wish) => asFrontend(wish) ?? []);
        if (parts.size === 0 || first === undefined) return undefined;
        const isVacant = ![...parts.values()].some(({ kind }) => kind === 'real-server');
        return frontendServers(first.id, [...parts.values()], { ...yieldsLike(first), isVacant });
      },
    };
  }

  #removals(
    former: DesiredIpvsObject | undefined,
    latter: DesiredIpvsObject | undefined,
  ): readonly Change<DesiredIpvsObject>[] {
    if (former === undefined) return [];
    if (former.kind !== 'frontend') return latter === undefined ? [{ op: 'remove', object: former }] : [];
    return former.objects.map((object) => {
      this.#frontendOf.delete(object.id);
      return { op: 'remove' as const, object };
    });
  }

  #additions(object: DesiredIpvsObject | undefined): readonly Change<DesiredIpvsObject>[] {
    if (object === undefined) return [];
    if (object.kind !== 'frontend') return [{ op: 'add', object }];
    return object.objects.map((part) => {
      this.#frontendOf.set(part.id, object.id);
      return { op: 'add' as const, object: part };
    });
  }
}

const asFrontend = (wish: DesiredIpvsObject | undefined): FrontendServers | undefined =>
  wish?.kind === 'frontend' ? wish : undefined;

const yieldsLike = ({ yieldsTo }: FrontendServers): Pick<FrontendServers, 'yieldsTo'> =>
  yieldsTo === undefined ? {} : { yieldsTo };

type FrontendPart = FrontendServers['objects'][number];

const partsOf = (wish: DesiredIpvsObject | undefined): readonly FrontendPart[] =>
  wish?.kind === 'frontend' ? wish.objects : [];

interface NetChange {
  readonly before: DesiredIpvsObject | undefined;
  readonly after: DesiredIpvsObject | undefined;
}

/** Merges several changes of one object, as when a younger Service is seen before an older one, to the net change. */
const netChangesOf = (changes: readonly Change<DesiredIpvsObject>[]): readonly NetChange[] => {
  const spans = new Map<string, NetChange>();
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
