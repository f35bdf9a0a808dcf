/** Pages of the metrics server: kube-proxy's, /status and /rules. */

import { type HttpRequest, json, type Route, type Routes, text } from './http.ts';
import type { Metrics } from './metrics.ts';
import { Rendering } from './rendering.ts';
import { type FamilyRules, rulesAnswer } from './rules-page.ts';
import type { Slis } from './slis.ts';
import { type Status, statusAnswer } from './status-page.ts';

/** Source of series in the Prometheus text format. */
interface Exposing {
  exposition(): Promise<string>;
}

export interface MetricsRoutesOptions {
  readonly metrics: Pick<Metrics, 'contentType' | 'exposition'>;
  /** Series of the process. */
  readonly life: Exposing;
  /** Traffic of Services, where it is configured. */
  readonly traffic?: Exposing | undefined;
  readonly slis: Slis;
  readonly mode: string;
  /** Configuration in force, as a KubeProxyConfiguration. */
  readonly configuration: Readonly<Record<string, unknown>>;
  readonly status: () => Status;
  /** Programmed objects of a Service, `ns/name`. */
  readonly rules: (service: string) => readonly FamilyRules[];
  /** True while a client reads this body. */
  readonly isHeld: (body: Buffer) => boolean;
}

const CONFIG_GROUP = 'kubeproxy.config.k8s.io';

export const metricsRoutes = (options: MetricsRoutesOptions): Routes => {
  const { metrics, life, traffic, slis, mode, configuration, status, rules, isHeld } = options;
  const sources: readonly Exposing[] = [metrics, life, ...(traffic === undefined ? [] : [traffic])];
  const make = async () => (await Promise.all(sources.map((source) => source.exposition()))).join('');
  const rendering = new Rendering({ make, isHeld });
  const shown = <T>(body: T) => ({ status: 200, headers: { 'Content-Type': metrics.contentType }, body });
  return new Map<string, Route>([
    ['/metrics', async () => shown(await rendering.get())],
    ['/metrics/slis', async () => shown(await slis.exposition())],
    [
      'DELETE /metrics/slis',
      () => {
        slis.reset();
        return text(200, 'SLI metrics reset\n');
      },
    ],
    ['/healthz', (httpRequest) => healthzAnswer(httpRequest, slis)],
    ['/healthz/ping', () => pingAnswer(slis)],
    ['/proxyMode', () => text(200, mode)],
    ['/configz', () => json(200, { [CONFIG_GROUP]: configuration })],
    ['/status', (httpRequest) => statusAnswer(status(), httpRequest)],
    ['/rules', (httpRequest) => rulesAnswer(rules, httpRequest)],
  ]);
};

/** Only check of this page, as in kube-proxy: that the server responds. Syncs are checked by the health server. */
const PING = 'ping';

const pingAnswer = (slis: Slis) => {
  slis.checked('healthz', PING, true);
  return text(200, 'ok');
};

const healthzAnswer = ({ query }: HttpRequest, slis: Slis) => {
  const excluded = new Set(query.getAll('exclude'));
  const isPinged = !excluded.delete(PING);
  if (isPinged) slis.checked('healthz', PING, true);
  if (!query.has('verbose')) return text(200, 'ok');
  const unknown = [...excluded].map((name) => JSON.stringify(name)).join(', ');
  return text(
    200,
    [
      isPinged ? '[+]ping ok' : '[+]ping excluded: ok',
      ...(unknown === '' ? [] : [`warn: there is no check to exclude that is named ${unknown}`]),
      'healthz check passed',
      '',
    ].join('\n'),
  );
};
