/**
 * Kernel settings of this mode, read and written through /proc/sys.
 *
 * A refused write (/proc/sys is read-only in many containers) is logged once and not repeated: without the setting NodePorts
 * do not answer on 127.0.0.1, and everything else works.
 */
import type { Sysctls } from '../../kernel/sysctl.ts';
import { readSysctls, type Sysctl, sysctl } from '../xtables/sysctl.ts';
import { writeSysctl } from '../xtables/write-sysctl.ts';
import { ROUTE_LOCALNET } from './localhost.ts';

const PATHS = [ROUTE_LOCALNET];

export class LoopbackSettings {
  readonly #files: Sysctls;
  readonly #warn: (message: string) => void;
  readonly #refused = new Map<string, Sysctl>();

  constructor(files: Sysctls, warn: (message: string) => void) {
    this.#files = files;
    this.#warn = warn;
  }

  /** Reads settings that are on. Refused ones are listed as written, so that they are not drift. Off is the kernel's default. */
  async read(): Promise<readonly Sysctl[]> {
    const found = await readSysctls(this.#files, PATHS);
    return found.flatMap(({ id, path, content }) => this.#refused.get(id) ?? (content === '1' ? sysctl(path, 1) : []));
  }

  async write(settings: readonly Sysctl[]): Promise<void> {
    for (const object of settings) {
      try {
        await writeSysctl(this.#files, object);
      } catch (error) {
        this.#refused.set(object.id, object);
        this.#warn(
          `NodePorts do not answer on 127.0.0.1: ${error instanceof Error ? error.message : String(error)}; ` +
            '--iptables-localhost-nodeports=false goes without',
        );
      }
    }
  }
}
