/** Position of a reflector: its resourceVersion, and which request comes next. */
import { ApiError, HistoryLost, isRefusal, needsFreshList, ProtocolError } from './errors.ts';

/** Next request: a list at any version (at first), at the known version or newer, at the newest version, or a watch. */
export type NextRequest = 'any-list' | 'known-list' | 'fresh-list' | 'watch';

/** Consecutive watches that fail on their contents before the known version is given up. */
const STUCK = 2;

export class Position {
  #need: NextRequest = 'any-list';
  #version = '';
  #stuck = 0;

  get need(): NextRequest {
    return this.#need;
  }

  /** resourceVersion at which a watch resumes. */
  get version(): string {
    return this.#version;
  }

  /** resourceVersion of a list: `0` = any version in the server's cache, empty = the newest. */
  get listVersion(): string {
    return { 'any-list': '0', 'known-list': this.#version, 'fresh-list': '', watch: '' }[this.#need];
  }

  /** Notes a complete list at a version. */
  listed(version: string): void {
    this.#need = 'watch';
    this.#version = version;
    this.#stuck = 0;
  }

  /** Notes the version of an event; an empty one is ignored. Throws HistoryLost when a bookmark's version is older. */
  advanced(version: string, isBookmark: boolean): void {
    if (isBookmark && isOlder(version, this.#version)) {
      throw new HistoryLost(`the server is at version ${version}, and was at ${this.#version} before`);
    }
    if (version !== '') this.#version = version;
    this.#stuck = 0;
  }

  /**
   * Decides the next request after an error; returns true when the version has just become unusable, so that the list
   * needs no wait.
   */
  failed(error: unknown): boolean {
    if (needsFreshList(error)) {
      const isNews = this.#need !== 'fresh-list';
      this.#need = 'fresh-list';
      return isNews;
    }
    if (this.#need !== 'watch') return false;
    const isBad = error instanceof ProtocolError || (error instanceof ApiError && error.inStream);
    if (isBad) this.#stuck += 1;
    if (isRefusal(error) || this.#stuck >= STUCK) this.#need = 'known-list';
    return false;
  }
}

/** Compares decimal versions of any size; others are incomparable. */
const isOlder = (version: string, than: string): boolean =>
  /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);
