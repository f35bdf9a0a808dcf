/**
 * Notices that files have other contents: by looking now and then.
 *
 * Contents are all that counts, so a volume that swaps a symbolic link is noticed and a `touch` is not; and nothing depends
 * on what kind of file system tells whom.
 */
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { pause } from '../dataplane/pause.ts';

/** A file's text; where it cannot be read, why. */
type Content = { readonly text: string } | { readonly unreadable: string };

/** By path. */
export type Contents = ReadonlyMap<string, Content>;

export interface WatchTiming {
  /** Between two looks. */
  readonly periodMs: number;
  /** Contents count once they have been the same for so long: whoever writes may not have ended. */
  readonly settleMs: number;
}

export const readContents = async (paths: readonly string[]): Promise<Contents> =>
  new Map(
    await Promise.all(
      paths.map(async (path): Promise<readonly [string, Content]> => {
        try {
          return [path, { text: await readFile(path, 'utf8') }];
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          return [path, { unreadable: code ?? String(error) }];
        }
      }),
    ),
  );

/** Resolves with the contents once they are others than these; undefined when aborted before. */
export const untilOthers = async (
  contents: Contents,
  { periodMs, settleMs }: WatchTiming,
  signal: AbortSignal,
): Promise<Contents | undefined> => {
  const paths = [...contents.keys()];
  for (;;) {
    await pause(periodMs, signal);
    if (signal.aborted) return undefined;
    let now = await readContents(paths);
    if (isDeepStrictEqual(now, contents)) continue;
    for (let before: Contents | undefined; !isDeepStrictEqual(now, before); now = await readContents(paths)) {
      before = now;
      await pause(settleMs, signal);
      if (signal.aborted) return undefined;
    }
    if (!isDeepStrictEqual(now, contents)) return now;
  }
};
