/** Kernel modules, loaded with modprobe; the caller interprets its message. */
import { runTool } from './host.ts';

const TIMEOUT_MS = 30_000;

/** Loads a module. Undefined when it is loaded or built in; else the error of modprobe, or that modprobe is missing. */
export const loadModule = async (name: string): Promise<string | undefined> => {
  try {
    const { exitCode, stderr } = await runTool('modprobe', [name], { timeoutMs: TIMEOUT_MS });
    return exitCode === 0 ? undefined : stderr;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
