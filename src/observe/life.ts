/**
 * What lasts as long as the process, whatever configuration is in force: when it began, what Node.js counts of it, and how
 * its configurations followed each other. One a process: what Node.js counts cannot be given back.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/**
 * What became of a configuration that changed: in force, never tried because something is wrong with it, or tried and
 * given up for the one before.
 */
export type ReloadResult = 'applied' | 'refused' | 'reverted';

const RESULTS: readonly ReloadResult[] = ['applied', 'refused', 'reverted'];

export class Life {
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly #registry = new Registry();
  readonly #reloads: Counter<'result'>;
  readonly #outdated: Gauge;

  /** `linesLost`: how many lines of the log could not be written so far. */
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

  /** The files say again what is in force. */
  settled(): void {
    this.#outdated.set(0);
  }

  async exposition(): Promise<string> {
    // prom-client's spelling of what is no number, such as the mean lag of a moment without a sample, is not the format's
    return (await this.#registry.metrics()).replace(/ Nan$/gm, ' NaN');
  }
}
