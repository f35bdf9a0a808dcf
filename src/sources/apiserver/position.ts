/** How far a reflector has come, and what it needs next: a watch from there, or a list of some age. */
import { ApiError, HistoryLost, isRefusal, needsFreshList, ProtocolError } from './errors.ts';

/** A list may be of any age at first, not older than what we have later, or must be the newest. */
export type NextRequest = 'any-list' | 'known-list' | 'fresh-list' | 'watch';

/** So many watches in a row that fail on their contents, and the version we resume from is to blame. */
const STUCK = 2;

export class Position {
  #need: NextRequest = 'any-list';
  #version = '';
  #stuck = 0;

  get need(): NextRequest {
    return this.#need;
  }

  /** Where a watch resumes. */
  get version(): string {
    return this.#version;
  }

  /** The least version of a list: `0` is whatever the server has in its cache, empty is the newest. */
  get listVersion(): string {
    return { 'any-list': '0', 'known-list': this.#version, 'fresh-list': '', watch: '' }[this.#need];
  }

  /** Everything up to this version is here. */
  listed(version: string): void {
    this.#need = 'watch';
    this.#version = version;
    this.#stuck = 0;
  }

  /** A watch came this far; an empty version says nothing. Throws HistoryLost where a bookmark says that it went back. */
  advanced(version: string, isBookmark: boolean): void {
    if (isBookmark && isOlder(version, this.#version)) {
      throw new HistoryLost(`the server is at version ${version}, and was at ${this.#version} before`);
    }
    if (version !== '') this.#version = version;
    this.#stuck = 0;
  }

  /** Whether an error says just now that the version is of no use: no reason to wait with the list. */
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

/** Versions grow, and are decimal numbers of any size; others cannot be compared. */
const isOlder = (version: string, than: string): boolean =>
  /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);
