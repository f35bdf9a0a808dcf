/**
 * Versions of the objects of one kind that were read, so that an object that a list brings again is not read again.
 *
 * Resource versions are decimal numbers that grow with each version of an object; an API server whose storage was restored
 * gives numbers a second time.
 */

/** Version of an object that is to be read whatever its version. */
const UNREAD = '';

export class Seen {
  readonly #versions = new Map<string, string>();

  keys(): readonly string[] {
    return [...this.#versions.keys()];
  }

  /** True when this version of the object was read. */
  has(key: string, object: unknown): boolean {
    const version = versionOf(object);
    return version !== UNREAD && this.#versions.get(key) === version;
  }

  /** True when a later version was read: the storage was restored, and no version can be relied on. */
  isPast(key: string, object: unknown): boolean {
    return compare(this.#versions.get(key) ?? UNREAD, versionOf(object)) > 0;
  }

  read(key: string, object: unknown): void {
    this.#versions.set(key, versionOf(object));
  }

  /** Records an object that cannot be read. */
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

/** Compares versions; 0 where one of them is unread. */
const compare = (a: string, b: string): number => {
  if (a === b || a === UNREAD || b === UNREAD) return 0;
  return a.length - b.length || (a < b ? -1 : 1);
};
