/** What the metrics server answers: kube-proxy's pages that tools rely on, /status and /rules. */
import type { Metrics } from './metrics.ts';
import { type FamilyRules, rulesAnswer } from './rules-page.ts';
import { json, type Route, type Routes, text } from './server.ts';
import { type Status, statusAnswer } from './status-page.ts';

export interface MetricsRoutesOptions {
  readonly metrics: Pick<Metrics, 'contentType' | 'exposition'>;
  readonly mode: string;
  /** The configuration in force, as the file that would give it. */
  readonly configuration: Readonly<Record<string, unknown>>;
  readonly status: () => Status;
  /** What is programmed for a Service, `ns/name`. */
  readonly rules: (service: string) => readonly FamilyRules[];
}

const CONFIG_GROUP = 'kubeproxy.config.k8s.io';

export const metricsRoutes = ({ metrics, mode, configuration, status, rules }: MetricsRoutesOptions): Routes =>
  new Map<string, Route>([
    [
      '/metrics',
      async () => ({ status: 200, headers: { 'Content-Type': metrics.contentType }, body: await metrics.exposition() }),
    ],
    ['/healthz', () => text(200, 'ok')],
    ['/proxyMode', () => text(200, mode)],
    ['/configz', () => json(200, { [CONFIG_GROUP]: configuration })],
    ['/status', (question) => statusAnswer(status(), question)],
    ['/rules', (question) => rulesAnswer(rules, question)],
  ]);
