/**
 * Results of the checks behind the health pages, as Kubernetes components show them under /metrics/slis (KEP-3466) for
 * availability. A check is counted when its page is requested.
 */
import { Counter, Gauge, Registry } from 'prom-client';

/** Page of a check. */
export type CheckType = 'healthz' | 'livez';

const LABELS = ['name', 'type'] as const;

export class Slis {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #gauge: Gauge<'name' | 'type'>;
  readonly #counter: Counter<'name' | 'type' | 'status'>;

  constructor() {
    this.contentType = this.#registry.contentType;
    const registers = [this.#registry];
    this.#gauge = new Gauge({
      name: 'kubernetes_healthcheck',
      help: 'How a check turned out last: 1 well, 0 not',
      labelNames: LABELS,
      registers,
    });
    this.#counter = new Counter({
      name: 'kubernetes_healthchecks_total',
      help: 'Checks by how they turned out',
      labelNames: [...LABELS, 'status'],
      registers,
    });
  }

  checked(type: CheckType, name: string, isWell: boolean): void {
    this.#gauge.set({ name, type }, isWell ? 1 : 0);
    this.#counter.inc({ name, type, status: isWell ? 'success' : 'error' });
  }

  exposition(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Resets all series. */
  reset(): void {
    this.#registry.resetMetrics();
  }
}
