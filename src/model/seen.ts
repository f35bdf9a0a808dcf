/**
 * The objects of one kind that are there, and the version of each that was read: what a list brings again is not read again.
 *
 * An API server gives each version of an object once, as decimal numbers that grow; but one whose storage was restored gives
 * numbers again.
 */

/** Of what is to be read whatever its version. */
const UNREAD = '';

export class Seen {
  readonly #versions = new Map<string, string>();

  keys(): readonly string[] {
    return [...this.#versions.keys()];
  }

  /** Whether this very version of the object was read. */
  has(key: string, object: unknown): boolean {
    const version = versionOf(object);
    return version !== UNREAD && this.#versions.get(key) === version;
  }

  /** Whether a later version of the object was read: then no version says anything. */
  isPast(key: string, object: unknown): boolean {
    return compare(this.#versions.get(key) ?? UNREAD, versionOf(object)) > 0;
  }

  read(key: string, object: unknown): void {
    this.#versions.set(key, versionOf(object));
  }

  /** It is there, and cannot be read. */
  unread(key: string): void {
    this.#versions.set(key, UNREAD);
  }

  delete(key: string): void {
    this.#versions.delete(key);
  }
}

const versionOf = (object: unknown): string => {
  const version = (object as { readonly metadata?: { readonly resourceVersion?: unknown } | null } | null)?.metadata
    ?.resourceVersion;
  return typeof version === 'string' && /^[1-9]\d{0,29}$/.test(version) ? version : UNREAD;
};

/** 0 where one of them is none. */
const compare = (a: string, b: string): number => {
  if (a === b || a === UNREAD || b === UNREAD) return 0;
  return a.length - b.length || (a < b ? -1 : 1);
};
