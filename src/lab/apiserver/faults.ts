/**
 * Faults on demand: what an API server, or the way to it, does on a bad day.
 *
 * Owns the list of faults still to happen and who they are meant for. The server carries them out.
 */

export type Verb = 'list' | 'watch' | 'get' | 'create' | 'update' | 'patch' | 'delete' | 'other';

/** Which requests (or open watches) a fault is meant for; absent = any. */
export interface FaultAim {
  /** Plural: `services`. */
  readonly resource?: string;
  readonly verb?: Verb;
}

/** `count` is how many requests meet the fault; without it all do, until the faults are cleared. */
export type Fault = FaultAim &
  (
    | { readonly fault: 'answer'; readonly status: number; readonly retryAfter?: number; readonly count?: number }
    /** Accept the request and never answer. */
    | { readonly fault: 'hang'; readonly count?: number }
    /** Accept the request and close the connection without an answer. */
    | { readonly fault: 'drop'; readonly count?: number }
    | { readonly fault: 'delay'; readonly ms: number; readonly count?: number }
    /** The next event of a watch is cut in the middle of its line, then the connection closes. */
    | { readonly fault: 'cut'; readonly count?: number }
    /** The next event of a watch comes as a line that is no JSON; the stream goes on. */
    | { readonly fault: 'malformed'; readonly count?: number }
    /** The next event of a watch comes as an ERROR event with this Status. */
    | { readonly fault: 'error-event'; readonly status: number; readonly count?: number }
    /** Open watches send nothing any more, not even their end: a peer that died without a word. */
    | { readonly fault: 'stall' }
    /** Close open watches: in good order, or by cutting the connection. */
    | { readonly fault: 'end-watches'; readonly abrupt?: boolean }
    /** Cut every open connection. */
    | { readonly fault: 'close-connections' }
    | { readonly fault: 'no-bookmarks' }
    /** An older server: refuses streaming lists with a status, or does not know the parameter. */
    | { readonly fault: 'no-streaming'; readonly how: 'refuse' | 'ignore'; readonly status?: number }
  );

export type FaultName = Fault['fault'];
type Named<N extends FaultName> = Extract<Fault, { fault: N }>;

/** Faults that happen at once and leave nothing behind. */
export const IMMEDIATE: ReadonlySet<FaultName> = new Set(['stall', 'end-watches', 'close-connections']);

const NAMES: ReadonlySet<string> = new Set<FaultName>([
  'answer',
  'hang',
  'drop',
  'delay',
  'cut',
  'malformed',
  'error-event',
  'stall',
  'end-watches',
  'close-connections',
  'no-bookmarks',
  'no-streaming',
]);

export const isFault = (value: unknown): value is Fault =>
  typeof value === 'object' && value !== null && NAMES.has(String((value as { fault?: unknown }).fault));

export const isAimedAt = (aim: FaultAim, resource: string, verb: Verb): boolean =>
  (aim.resource === undefined || aim.resource === resource) && (aim.verb === undefined || aim.verb === verb);

export class Faults {
  #pending: { readonly fault: Fault; left: number }[] = [];

  add(fault: Fault): void {
    this.#pending.push({ fault, left: 'count' in fault ? (fault.count ?? Infinity) : Infinity });
  }

  clear(): void {
    this.#pending = [];
  }

  /** The fault of one of these names that this request meets, if any; it is used up by that. */
  take<N extends FaultName>(names: readonly N[], resource: string, verb: Verb): Named<N> | undefined {
    const found = this.#pending.find(
      ({ fault }) => (names as readonly FaultName[]).includes(fault.fault) && isAimedAt(fault, resource, verb),
    );
    if (found === undefined) return undefined;
    found.left -= 1;
    if (found.left <= 0) this.#pending = this.#pending.filter((entry) => entry !== found);
    return found.fault as Named<N>;
  }
}
