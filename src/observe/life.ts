/**
 * Metrics that last as long as the process, across configurations: its start, Node.js' own series, and reloads. There is one
 * instance a process, as Node.js' series cannot be unregistered.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/**
 * Result of a changed configuration: `applied`, `refused` (it has an error and was not tried), or `reverted` (it was tried,
 * and the one before is in force again).
 */
export type ReloadResult = 'applied' | 'refused' | 'reverted';

const RESULTS: readonly ReloadResult[] = ['applied', 'refused', 'reverted'];

export class Life {
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly #registry = new Registry();
  readonly #reloads: Counter<'result'>;
  readonly #outdated: Gauge;

  /** `linesLost`: number of log lines that could not be written so far. */
  constructor({ now = Date.now, linesLost = () => 0 }: { now?: () => number; linesLost?: () => number } = {}) {
    this.startedAt = now();
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#reloads = new Counter({
      name: 'pointsman_config_reloads_total',
      help: 'Changes of the configuration file or the kubeconfig, by what became of them',
      labelNames: ['result'],
      registers,
    });
    this.#outdated = new Gauge({
      name: 'pointsman_config_outdated',
      help: '1 while another configuration is in force than the files say, as that cannot be used',
      registers,
    });
    new Counter({
      name: 'pointsman_log_lines_lost_total',
      help: 'Lines of the log that could not be written',
      registers,
      collect() {
        this.reset();
        this.inc(linesLost());
      },
    });
    for (const result of RESULTS) this.#reloads.inc({ result }, 0);
  }

  reloaded(result: ReloadResult): void {
    this.#reloads.inc({ result });
    this.#outdated.set(result === 'applied' ? 0 : 1);
  }

  /** Notes files that hold the configuration in force again. */
  settled(): void {
    this.#outdated.set(0);
  }

  async exposition(): Promise<string> {
    // prom-client spells NaN (the mean lag of an interval without a sample) otherwise than the format
    return (await this.#registry.metrics()).replace(/ Nan$/gm, ' NaN');
  }
}
