/**
 * Longest turn of the process's event loop, measured inside, and longest answer of /livez and /metrics, measured
 * outside, in each situation in which everything is checked or written.
 */
import { rename, writeFile } from 'node:fs/promises';
import type { NodeProxy } from '../src/lab/cluster.ts';
import { serviceObjects } from '../src/lab/many.ts';
import { startAnswerTimes } from '../src/lab/probe/answers.ts';
import { measuredConfiguration } from '../src/lab/probe/configuration.ts';
import {
  blockedMs,
  type LoopReport,
  longestTurn,
  ownMs,
  probeEnvironment,
  takeReport,
} from '../src/lab/probe/report.ts';
import { longTurns } from './long-turns.ts';
import { cleanUp } from './start.ts';
import { show, sleep, type TestBed, type Variant } from './test-bed.ts';

const PATIENCE_MS = 600_000;
/** Time after a situation for its consequences. */
const REST_MS = 3_000;
const SYNC_PERIOD = '25s';
const LIVEZ = 'http://127.0.0.1:10256/livez';
const METRICS = 'http://127.0.0.1:10249/metrics';

export const loop = async (bed: TestBed, variant: Variant, services: number, endpoints: number): Promise<void> => {
  const run = await startMeasured(bed, variant);
  try {
    for (const situation of SITUATIONS) {
      await situation.cause?.(run, services, endpoints);
      await situation.isOver(run, services);
      await sleep(REST_MS);
      const report = await takeReport(run.socket);
      tell(`${situation.name}, ${variant} ${services}×${endpoints}`, report, await run.answers());
      if (report.profile !== undefined) await longTurns(report);
      run.mark();
    }
  } finally {
    await run.stop();
    for (const one of [variant, otherThan(variant)]) await cleanUp(bed, one);
  }
};

const tell = (title: string, report: LoopReport, answers: Readonly<Record<string, number>>): void => {
  const gaps = [...report.gaps].sort((a, b) => ownMs(b) - ownMs(a));
  const ms = (value: number | undefined): string => (value ?? 0).toFixed(0);
  show(title, {
    s: (report.ms / 1_000).toFixed(1),
    'longest turn ms': ms(longestTurn(report)),
    'over 50 ms': gaps.filter((gap) => ownMs(gap) > 50).length,
    'longest pause of the collector ms': ms(Math.max(0, ...report.pauses.map((pause) => pause.ms))),
    'without a processor ms': ms(Math.max(0, ...gaps.map(({ waitedMs }) => waitedMs))),
    'blocked ms': ms(Math.max(0, ...gaps.map(blockedMs))),
    '/livez ms': ms(answers[LIVEZ]),
    '/metrics ms': ms(answers[METRICS]),
  });
};

interface Run {
  readonly bed: TestBed;
  readonly variant: Variant;
  readonly proxy: NodeProxy;
  readonly socket: string;
  /** Waits for a log line after the last mark. */
  waitForLog(pattern: RegExp): Promise<void>;
  mark(): void;
  configure(variant: Variant): Promise<void>;
  /** Longest answer times since the last call, by URL. */
  answers(): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}

/** Tool flags for every mode, as the mode may change. */
const TOOL: Readonly<Record<Variant, string>> = {
  'iptables-nft': '--iptables-tool=nft',
  'iptables-legacy': '--iptables-tool=legacy',
  nftables: '--iptables-tool=nft',
};

const startMeasured = async (bed: TestBed, variant: Variant): Promise<Run> => {
  const { cluster } = bed;
  const file = `${cluster.folder}/config.yaml`;
  const configure = async (next: Variant): Promise<void> => {
    await writeFile(`${file}.new`, configuration(bed, next));
    await rename(`${file}.new`, file);
  };
  await configure(variant);
  const socket = `${cluster.folder}/loop-${variant}.sock`;
  const env = probeEnvironment(socket, process.env.LOOP_PROFILES);
  const asking = startAnswerTimes(bed.lab, 'node1', [LIVEZ, METRICS]);
  const proxy = cluster.startProxy('node1', [`--config=${file}`, TOOL[variant]], { env, withKubeconfig: false });
  let from = 0;
  let isOver = false;
  void proxy.ended.then(() => {
    isOver = true;
  });
  // loading the program is one turn, without answers
  while (!isOver && !(LIVEZ in (await asking.answers()))) await sleep(50);
  await takeReport(socket);
  return {
    bed,
    variant,
    proxy,
    socket,
    waitForLog: async (pattern) => {
      for (const deadline = Date.now() + PATIENCE_MS; !pattern.test(proxy.log().slice(from)); await sleep(50)) {
        if (isOver || Date.now() > deadline) throw new Error(`not said: ${pattern}\n${proxy.log().slice(from)}`);
      }
    },
    mark: () => {
      from = proxy.log().length;
    },
    configure,
    answers: asking.answers,
    stop: async () => {
      asking.stop();
      await proxy.stop();
    },
  };
};

const configuration = ({ cluster }: TestBed, variant: Variant): string =>
  measuredConfiguration({
    kubeconfig: cluster.kubeconfig,
    mode: variant === 'nftables' ? 'nftables' : 'iptables',
    syncPeriod: SYNC_PERIOD,
  });

const otherThan = (variant: Variant): Variant => (variant === 'nftables' ? 'iptables-nft' : 'nftables');

interface Situation {
  readonly name: string;
  readonly cause?: (run: Run, services: number, endpoints: number) => Promise<void>;
  readonly isOver: (run: Run, services: number) => Promise<void>;
}

const fullSync = async ({ waitForLog }: Run): Promise<void> => {
  for (const family of ['IPv4', 'IPv6']) await waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`));
};

/** Replaces one endpoint of one Service. */
const marker = async ({ bed }: Run, endpoints: number, ip: string): Promise<void> => {
  const [, slice] = serviceObjects(7, endpoints, ip);
  await bed.cluster.put([slice]);
};

/** Command that removes rules of the proxy. */
const RULE_REMOVAL: Readonly<Record<Variant, readonly [string, ...string[]]>> = {
  'iptables-nft': ['iptables-nft', '-t', 'filter', '-F', 'KUBE-FORWARD'],
  'iptables-legacy': ['iptables-legacy', '-t', 'filter', '-F', 'KUBE-FORWARD'],
  nftables: [
    'nft',
    'delete',
    'element',
    'ip',
    'kube-proxy',
    'cluster-ips',
    '{',
    serviceObjects(9, 1)[0].spec.clusterIP,
    '}',
  ],
};

const SITUATIONS: readonly Situation[] = [
  { name: 'start', isOver: fullSync },
  {
    name: 'relist',
    cause: async (run, _, endpoints) => {
      const { cluster } = run.bed;
      for (const resource of ['services', 'endpointslices'])
        await cluster.inject({ fault: 'answer', status: 410, resource, verb: 'watch', count: 1 });
      await cluster.inject({ fault: 'end-watches', abrupt: true });
      await marker(run, endpoints, '10.99.0.1');
    },
    isOver: ({ waitForLog }) => waitForLog(/"ipFamily":"IPv4","fullSync":false.*"replaced":[1-9].*\n/),
  },
  {
    name: 'audit',
    cause: async ({ bed, variant }) => {
      const [command, ...args] = RULE_REMOVAL[variant];
      await bed.lab.run('node1', command, args, { timeoutMs: PATIENCE_MS });
    },
    isOver: ({ waitForLog }) => waitForLog(/drift found and repaired/),
  },
  {
    name: 'node change',
    cause: ({ bed }) =>
      bed.cluster.put([
        {
          apiVersion: 'v1',
          kind: 'Node',
          metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': `z${performance.now()}` } },
        },
      ]),
    isOver: ({ waitForLog }, services) =>
      waitForLog(new RegExp(`"ipFamily":"IPv4","fullSync":false,"servicePorts":${services}\\D`)),
  },
  {
    name: 'mode change',
    cause: ({ configure, variant }) => configure(otherThan(variant)),
    isOver: async (run) => {
      await run.waitForLog(/pointsman starts/);
      await fullSync(run);
      await run.waitForLog(/rules of another mode removed {"ipFamily":"IPv6"/);
    },
  },
];
