/**
 * Cost of mode ipvs: sends, messages and processes of a start and of a change, beside the tools for manual use. Runs in
 * User Mode Linux, as most machines for measurements lack IPVS.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageFile } from '../src/lab/network/entry.ts';
import { runInUml } from '../src/lab/uml/uml.ts';

const TIMEOUT_MS = 20 * 60_000;

export const ipvs = async (): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'pm-bench-'));
  try {
    const program = packageFile('dist/bench/inside/ipvs.js');
    const {
      exitCode,
      output,
      console: kernel,
    } = await runInUml({
      command: [process.execPath, program, folder],
      workingDirectory: folder,
      timeoutMs: TIMEOUT_MS,
      memory: '3G',
    });
    process.stdout.write(output);
    if (exitCode !== 0) throw new Error(`the measurement failed, exit status ${exitCode}\n${kernel}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
