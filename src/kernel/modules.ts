/** Loading kernel modules with modprobe: what it says is passed on, what it means is the caller's business. */
import { runTool } from './host.ts';

const TIMEOUT_MS = 30_000;

/** Undefined when it is loaded or built in; else what modprobe said, which may be missing itself. */
export const loadModule = async (name: string): Promise<string | undefined> => {
  try {
    const { exitCode, stderr } = await runTool('modprobe', [name], { timeoutMs: TIMEOUT_MS });
    return exitCode === 0 ? undefined : stderr;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
