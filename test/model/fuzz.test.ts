/**
 * Raw JSON that nobody validated, of every kind, among good objects and in any order of events: each good object is programmed
 * in every mode as it would be alone, all else is counted, nothing is thrown and no message is long.
 */
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { offlineBackend } from '../../src/backends/index.ts';
import type { AnyBackend } from '../../src/backends/mode.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import type { Problem } from '../../src/model/problems.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { loadLine } from '../config/loading.ts';
import { type Fields, NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from './objects.ts';

const MODES = ['iptables', 'ipvs', 'nftables'] as const;
const LONGEST_MESSAGE = 600;

const nested = (depth: number, open: string, close: string): unknown =>
  JSON.parse(`${open.repeat(depth)}1${close.repeat(depth)}`);

const LONG = 'x'.repeat(1 << 20);
/** Made by the parser, as on the wire: it gives own fields the names that elsewhere mean the prototype. */
const HOSTILE: readonly unknown[] = [
  ...['{"__proto__":{"name":"p"}}', '{"constructor":{"prototype":null}}', '{"toString":1,"valueOf":2,"length":-1}'].map(
    (text): unknown => JSON.parse(text),
  ),
  nested(4_000, '[', ']'),
  nested(4_000, '{"a":', '}'),
  LONG,
  [LONG],
  1e308,
  -1e308,
  2 ** 53,
  4_294_967_296,
  Number.MIN_VALUE,
  '\u0000',
  'a\n-A INPUT -j ACCEPT',
  '"; flush ruleset; "',
  '\ud800',
  '𝕊\u202e',
  'ns/other',
  '__proto__',
  'constructor',
  null,
  undefined,
  true,
  [],
  {},
  [null],
  [[]],
];

const value = fc.oneof(fc.constantFrom(...HOSTILE), fc.jsonValue({ maxDepth: 2 }));
const KEYS = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', ...Object.keys(serviceObject('a/b'))];

const METADATA = {
  creationTimestamp: '2026-01-02T03:04:05Z',
  labels: { 'topology.kubernetes.io/zone': 'zb', 'kubernetes.io/service-name': 'web' },
  annotations: {
    'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-02T03:04:05Z',
    'pointsman.dev/ipvs-scheduler': 'wrr',
  },
};

/** The object with metadata of every sort. */
const dressed = (object: Fields): Fields => ({ ...object, metadata: { ...METADATA, ...(object.metadata as Fields) } });

const FULL: Readonly<Record<ObjectKind, Fields>> = {
  Service: dressed(
    serviceObject(
      'bad/web',
      {
        type: 'LoadBalancer',
        clusterIP: '10.96.9.9',
        clusterIPs: ['10.96.9.9', 'fd96::9'],
        ports: [
          { name: 'p', port: 80, protocol: 'TCP', nodePort: 31_111 },
          { name: 'q', port: 81, protocol: 'UDP', nodePort: 31_112 },
        ],
        externalIPs: ['198.51.100.9'],
        externalTrafficPolicy: 'Local',
        internalTrafficPolicy: 'Local',
        healthCheckNodePort: 32_009,
        loadBalancerSourceRanges: ['10.0.0.0/8'],
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      },
      [{ ip: '203.0.113.9', ipMode: 'VIP' }],
    ),
  ),
  EndpointSlice: dressed(
    sliceObject('bad/web-1', [], {
      endpoints: [
        {
          addresses: ['10.200.9.11'],
          nodeName: 'node1',
          conditions: { ready: true, serving: true, terminating: false },
          hints: { forZones: [{ name: 'za' }], forNodes: [{ name: 'node1' }] },
        },
      ],
    }),
  ),
  Node: dressed({ ...nodeObject(), metadata: { name: 'elsewhere' } }),
  ServiceCIDR: { kind: 'ServiceCIDR', metadata: { name: 'bad' }, spec: { cidrs: ['192.0.2.0/24'] } },
};

const paths = (at: unknown): readonly (readonly string[])[] => {
  if (typeof at !== 'object' || at === null) return [[]];
  return [[], ...Object.entries(at).flatMap(([key, below]) => paths(below).map((path) => [key, ...path]))];
};

const replaced = (at: unknown, [key, ...rest]: readonly string[], by: unknown): unknown => {
  if (key === undefined) return by;
  const copy: Record<string, unknown> = Array.isArray(at) ? ([...at] as never) : { ...(at as Fields) };
  copy[key] = replaced(copy[key], rest, by);
  return copy;
};

const bad = fc.constantFrom(...OBJECT_KINDS).chain((kind) =>
  fc
    .oneof(
      {
        weight: 8,
        arbitrary: fc
          .tuple(fc.constantFrom(...paths(FULL[kind])), value)
          .map(([path, by]) => replaced(FULL[kind], path, by)),
      },
      { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...KEYS), value) },
      { weight: 1, arbitrary: value },
    )
    .map((object) => ({ kind, object })),
);

type Step = { readonly op: 'put' | 'remove' | 'replace'; readonly kind: ObjectKind; readonly object: unknown };
const steps = fc.array(
  fc
    .tuple(fc.constantFrom('put', 'put', 'remove', 'replace'), bad)
    .map(([op, one]): Step => ({ op: op as Step['op'], ...one })),
  { maxLength: 12 },
);

const GOOD: Readonly<Record<ObjectKind, readonly Fields[]>> = {
  Service: [serviceObject('ns/good', { type: 'NodePort', ports: [{ name: 'p', port: 80, nodePort: 30_080 }] })],
  EndpointSlice: [sliceObject('ns/good-1', ['10.200.0.12', '10.200.0.13'])],
  Node: [nodeObject()],
  ServiceCIDR: [{ kind: 'ServiceCIDR', metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/16'] } }],
};

const backends = new Map<string, AnyBackend>();
beforeAll(async () => {
  const options = await loadLine([]);
  for (const mode of MODES)
    for (const family of IP_FAMILIES) backends.set(`${mode} ${family}`, await offlineBackend(mode, family, options));
});

/** What the good Service has in the kernel, by mode and family; the shape of the node itself is left out. */
const programmed = (tracker: Tracker): readonly string[] =>
  IP_FAMILIES.flatMap((family: IPFamily) => {
    const work = tracker.take(family);
    return MODES.flatMap((mode) => {
      const backend = backends.get(`${mode} ${family}`);
      if (backend === undefined) throw new Error(`no backend for ${mode}`);
      const { sections, problems } = compileAll(backend, work);
      expect(problems).toEqual([]);
      const own = sections.filter(({ title }) => title.startsWith('ns/good'));
      return own.flatMap(({ objects }) => objects.map(({ id, content }) => `${mode} ${family} ${id} ${content}`));
    });
  });

const begin = (problems: Problem[] = []): Tracker => {
  const onProblem = (problem: Problem): void => void problems.push(problem);
  const tracker = new Tracker({ node: { ...NODE_OPTIONS, seesServiceCIDRs: true }, onProblem });
  for (const kind of OBJECT_KINDS) tracker.replace(kind, GOOD[kind]);
  return tracker;
};

it('harms no good object, in no mode, whatever happens to it', { timeout: 120_000 }, () => {
  const wanted = programmed(begin());
  expect(wanted.length).toBeGreaterThan(10);
  fc.assert(
    fc.property(steps, (all) => {
      const problems: Problem[] = [];
      const tracker = begin(problems);
      for (const { op, kind, object } of all) {
        if (op === 'replace') tracker.replace(kind, [...GOOD[kind], object]);
        else tracker[op](kind, object);
      }
      expect(programmed(tracker)).toEqual(wanted);
      expect(tracker.skipped).toBeGreaterThanOrEqual(tracker.problems.length);
      for (const { key, message } of [...problems, ...tracker.problems])
        expect(key.length + message.length).toBeLessThan(LONGEST_MESSAGE);
    }),
    { numRuns: 250 },
  );
});
