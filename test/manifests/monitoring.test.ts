/** Alerts and dashboard: their queries are PromQL, and ask for what the program exposes, by labels that it has. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { PROFILES, profileOf } from '../../src/backends/index.ts';
import { kubeProxySeries } from '../../src/observe/kube-proxy-series.ts';
import { Life } from '../../src/observe/life.ts';
import { ownSeries } from '../../src/observe/own-series.ts';
import { restSeries } from '../../src/observe/rest-series.ts';
import { trafficExposition } from '../../src/observe/traffic/exposition.ts';
import { build } from './kustomize.ts';
import { parseQuery } from './promql.ts';

const root = fileURLToPath(new URL('../../manifests/monitoring', import.meta.url));

/** What Prometheus adds to every series, by our PodMonitor. */
const OF_TARGET: readonly string[] = ['job', 'instance', 'node'];

/** Where no registry is to be asked: series and their labels as they are exposed. */
const shownIn = (text: string): readonly (readonly [name: string, labels: readonly string[]])[] =>
  [...text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)].map(([, name = '', labels = '']) => [
    name,
    [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label),
  ]);

const traffic = await trafficExposition(profileOf('nftables').metrics.traffic, [
  {
    family: 'IPv4',
    omitted: 0,
    readAt: 1,
    refresh: async () => undefined,
    rows: () => [
      [
        { namespace: 'shop', name: 'web', port: 'http', protocol: 'TCP' },
        { connections: 1, packetsIn: 1, packetsOut: 1, bytesIn: 1, bytesOut: 1 },
      ],
    ],
  },
]);
const life = await new Life().exposition();

/** The labels of each series, over all modes. */
const exposed = (): ReadonlyMap<string, readonly string[]> => {
  const labels = new Map<string, readonly string[]>([['up', OF_TARGET]]);
  for (const [name, own] of shownIn(traffic + life)) labels.set(name, [...own, ...OF_TARGET]);
  for (const { metrics } of PROFILES) {
    const registry = new Registry();
    kubeProxySeries(registry, metrics.series);
    ownSeries(registry);
    restSeries(registry);
    for (const metric of registry.getMetricsAsArray()) {
      const { name, labelNames = [] } = metric as { readonly name: string; readonly labelNames?: readonly string[] };
      const all = [...labelNames, ...OF_TARGET];
      labels.set(name, all);
      for (const part of ['count', 'sum']) labels.set(`${name}_${part}`, all);
      labels.set(`${name}_bucket`, [...all, 'le']);
    }
  }
  return labels;
};
const EXPOSED = exposed();

/** Throws what a query asks for that is not there. */
const check = (text: string): void => {
  const { selectors, groupings } = parseQuery(text);
  for (const { metric, labels } of selectors) {
    const known = EXPOSED.get(metric);
    if (known === undefined) throw new Error(`nobody exposes ${metric}`);
    const missing = [...labels, ...groupings].find((label) => !known.includes(label));
    if (missing !== undefined) throw new Error(`${metric} has no label ${missing}`);
  }
};

describe('the check itself', () => {
  it.each([
    ['rate(kubeproxy_sync_proxy_rules_durations_count[5m])', 'nobody exposes'],
    ['sum by (nod) (up)', 'no label nod'],
    ['up{jobb="x"}', 'no label jobb'],
    ['rate(up[5m)', 'wrong at'],
    ['1 + 1', 'asks for nothing'],
  ])('finds %s', (text, problem) => expect(() => check(text)).toThrow(problem));
});

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<'summary' | 'description', string>>;
}

const [rules] = build(root).filter(({ kind }) => kind === 'PrometheusRule') as unknown as readonly {
  readonly spec: { readonly groups: readonly { readonly rules: readonly Rule[] }[] };
}[];
const alerts = rules?.spec.groups.flatMap((group) => group.rules) ?? [];

describe("the README's", () => {
  const readme = readFileSync(fileURLToPath(new URL('../../src/observe/README.md', import.meta.url)), 'utf8');
  /** What the first column of a section's tables names. */
  const namesUnder = (heading: string): readonly string[] =>
    (readme.split(`\n## ${heading}\n`)[1] ?? '')
      .split('\n## ')[0]
      ?.split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...(line.split(' | ')[0] ?? '').matchAll(/`(\w+)`/g)].map(([, name = '']) => name)) ?? [];

  it('table of alerts has all of them', () => {
    expect([...namesUnder('Alerts')].sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it('table of metrics has all of our own', () => {
    const parts = (name: string): boolean => /_(count|sum|bucket)$/.test(name);
    const ours = [...EXPOSED.keys()].filter((name) => /^(pointsman|rest_client)_/.test(name) && !parts(name));
    const named = namesUnder('Metrics').filter((name) => /^(pointsman|rest_client)_/.test(name));
    expect([...named].sort()).toEqual(ours.sort());
  });
});

describe('alerts', () => {
  it.each(alerts)('$alert', ({ expr, labels, annotations }) => {
    check(expr);
    expect(['info', 'warning', 'critical']).toContain(labels.severity);
    expect(Object.keys(annotations)).toEqual(['summary', 'description']);
    // what is shown of a series has to be left in it
    const { selectors, groupings } = parseQuery(expr);
    const isGrouped = expr.includes(' by (');
    for (const [, label = ''] of Object.values(annotations)
      .join(' ')
      .matchAll(/\$labels\.(\w+)/g)) {
      for (const { metric } of selectors) expect(isGrouped ? groupings : EXPOSED.get(metric)).toContain(label);
    }
  });

  it('are about what can go wrong, each once', () => {
    expect(alerts.map(({ alert }) => alert)).toEqual([
      'PointsmanDown',
      'PointsmanInstanceUnreachable',
      'PointsmanRulesStale',
      'PointsmanHearsNothing',
      'PointsmanSyncFailures',
      'PointsmanProgrammingSlow',
      'PointsmanDrift',
      'PointsmanServicesSetAside',
      'PointsmanNoLocalEndpoints',
      'PointsmanConfigurationRefused',
      'PointsmanModesDiffer',
    ]);
  });
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: Readonly<Record<'h' | 'w' | 'x' | 'y', number>>;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const dashboard = JSON.parse(readFileSync(`${root}/dashboard.json`, 'utf8')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
};
const BUILT_IN = ['__rate_interval', '__all'];

describe('the dashboard', () => {
  it.each(dashboard.panels.filter(({ type }) => type !== 'row'))('$title', ({ targets = [] }) => {
    expect(targets.length).toBeGreaterThan(0);
    for (const { expr } of targets) check(expr.replaceAll('$__rate_interval', '5m'));
  });

  it('has panels that do not overlap, each with a number of its own', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  });

  it('uses no variable that it has not', () => {
    const known = new Set([...BUILT_IN, ...dashboard.templating.list.map(({ name }) => name)]);
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });
});
