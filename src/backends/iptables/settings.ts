/**
 * Kernel settings of this mode, read and written by their files.
 *
 * One that is refused (/proc/sys is read-only in many a container) is told once and then left: without it NodePorts do not
 * answer on 127.0.0.1, and that must not keep the node from everything else.
 */
import type { Sysctls } from '../../kernel/sysctl.ts';
import { readSysctls, type Sysctl, sysctl } from '../xtables/sysctl.ts';
import { writeSysctl } from '../xtables/write-sysctl.ts';
import { ROUTE_LOCALNET } from './localhost.ts';

const PATHS = [ROUTE_LOCALNET];

export class Settings {
  readonly #files: Sysctls;
  readonly #warn: (message: string) => void;
  readonly #refused = new Map<string, Sysctl>();

  constructor(files: Sysctls, warn: (message: string) => void) {
    this.#files = files;
    this.#warn = warn;
  }

  /** Those that are on, and those that were given up. Off is how a kernel comes: that is nothing to speak of. */
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
