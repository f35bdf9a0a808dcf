/** The OOM score adjustment of this process (proc(5)): -1000, never ended for want of memory, to 1000, ended first. */
import { readFile, writeFile } from 'node:fs/promises';

const FILE = '/proc/self/oom_score_adj';

/** Writes it where it is another one. Gives what the kernel said where that is not allowed. */
export const writeOomScore = async (score: number, file: string = FILE): Promise<string | undefined> => {
  try {
    if (Number(await readFile(file, 'utf8')) !== score) await writeFile(file, String(score));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
