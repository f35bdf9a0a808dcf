/**
 * Faults of an API server or its network, injected on demand.
 *
 * Owns the list of pending faults and the requests that they apply to; the server carries them out.
 */

export type Verb = 'list' | 'watch' | 'get' | 'create' | 'update' | 'patch' | 'delete' | 'other';

/** Requests (or open watches) that a fault applies to; absent = any. */
export interface FaultAim {
  /** Plural of the resource: `services`. */
  readonly resource?: string;
  readonly verb?: Verb;
}

/** `count` is the number of requests with the fault; without it all have it, until the faults are cleared. */
export type Fault = FaultAim &
  (
    | { readonly fault: 'answer'; readonly status: number; readonly retryAfter?: number; readonly count?: number }
    /** Accept the request and never answer. */
    | { readonly fault: 'hang'; readonly count?: number }
    /** Accept the request and close the connection without an answer. */
    | { readonly fault: 'drop'; readonly count?: number }
    | { readonly fault: 'delay'; readonly ms: number; readonly count?: number }
    /** The next event of a watch is truncated within its line, then the connection is closed. */
    | { readonly fault: 'cut'; readonly count?: number }
    /** The next event of a watch is a line that is no JSON; the stream goes on. */
    | { readonly fault: 'malformed'; readonly count?: number }
    /** The next event of a watch is an ERROR event with this Status. */
    | { readonly fault: 'error-event'; readonly status: number; readonly count?: number }
    /** Open watches send nothing from now on, not even their end: a vanished peer. */
    | { readonly fault: 'stall' }
    /** Close open watches: in good order, or by closing the connection. */
    | { readonly fault: 'end-watches'; readonly abrupt?: boolean }
    /** Close every open connection. */
    | { readonly fault: 'close-connections' }
    | { readonly fault: 'no-bookmarks' }
    /** Older server: refuses streaming lists with a status, or ignores the parameter. */
    | { readonly fault: 'no-streaming'; readonly how: 'refuse' | 'ignore'; readonly status?: number }
  );

export type FaultName = Fault['fault'];
type Named<N extends FaultName> = Extract<Fault, { fault: N }>;

/** Faults that happen once, at the moment of injection. */
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

  /** Takes the fault with one of these names that applies to a request, and counts it down. */
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
