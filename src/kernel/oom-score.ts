/** OOM score adjustment of this process (proc(5)): -1000 (never killed) to 1000 (killed first). */
import { readFile, writeFile } from 'node:fs/promises';

const FILE = '/proc/self/oom_score_adj';

/** Writes the score unless it is set already. Returns the kernel's error when the write is not allowed. */
export const writeOomScore = async (score: number, file: string = FILE): Promise<string | undefined> => {
  try {
    if (Number(await readFile(file, 'utf8')) !== score) await writeFile(file, String(score));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
