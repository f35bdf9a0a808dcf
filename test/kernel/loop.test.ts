/**
 * The process answers whatever it has to do: no turn of its event loop is as long as there are Services. Measured inside the
 * running program, in its own time; the bench shows it at full size.
 */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { manyServices, serviceObjects } from '../../src/lab/many.ts';
import { type AnswerTimes, startAnswerTimes } from '../../src/lab/probe/answers.ts';
import { measuredConfiguration } from '../../src/lab/probe/configuration.ts';
import { longestTurn, ownMs, probeEnvironment, takeReport } from '../../src/lab/probe/report.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const SERVICES = 2_000;
const ENDPOINTS = 5;
/** As a whole each of these situations takes longer. */
const LONGEST_MS = 250;
/** Beside what is waited for a processor, which others use too. */
const ANSWER_MS = 1_000;
const PATIENCE_MS = 55_000;
/** For the work that follows from a situation. */
const REST_MS = 500;
const LIVEZ = 'http://127.0.0.1:10256/livez';
const METRICS = 'http://127.0.0.1:10249/metrics';

type Mode = 'nftables' | 'iptables';

const VARIANTS = [
  {
    mode: 'nftables',
    tool: 'legacy',
    next: 'iptables',
    edit: [
      ...['nft', 'delete', 'element', 'ip', 'kube-proxy', 'cluster-ips', '{'],
      ...[serviceObjects(9, 1)[0].spec.clusterIP, '}'],
    ],
  },
  { mode: 'iptables', tool: 'nft', next: 'nftables', edit: ['iptables-nft', '-F', 'KUBE-FORWARD'] },
  { mode: 'iptables', tool: 'legacy', next: 'nftables', edit: ['iptables-legacy', '-F', 'KUBE-FORWARD'] },
] as const;

const NEEDS = [...LAB_NEEDS, ...['nft', 'iptables-nft', 'iptables-legacy'].map(program)];

describeWith(
  NEEDS,
  `at ${SERVICES} Services × ${ENDPOINTS} endpoints no turn is long, and everybody is answered`,
  () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await startBench();
      await bench.cluster.put(manyServices(0, SERVICES, ENDPOINTS));
    });
    afterAll(() => bench?.remove());

    describe.each(VARIANTS)('mode $mode, tool $tool', ({ mode, tool, next, edit }) => {
      let socket: string;
      let proxy: NodeProxy;
      let asking: AnswerTimes;
      /** Of the log, at the last situation. */
      let from = 0;

      const configure = async (to: Mode): Promise<string> => {
        const file = join(bench.cluster.folder, 'loop.yaml');
        await writeFile(`${file}.new`, configuration(bench, to));
        await rename(`${file}.new`, file);
        return file;
      };

      const waitForLog = async (pattern: RegExp): Promise<void> => {
        for (const deadline = Date.now() + PATIENCE_MS; !pattern.test(proxy.log().slice(from)); await sleep(20)) {
          if (Date.now() > deadline) throw new Error(`not said: ${pattern}\n${proxy.log().slice(from)}`);
        }
      };

      const isSynced = async (): Promise<void> => {
        for (const family of ['IPv4', 'IPv6'])
          await waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`));
      };

      /** Since the last situation. */
      const expectAnswers = async (): Promise<void> => {
        await sleep(REST_MS);
        const { [LIVEZ]: livez, [METRICS]: metrics } = await asking.answers();
        const report = await takeReport(socket);
        // who asks has to wait for a processor just as well
        const patienceMs = ANSWER_MS + 2 * report.gaps.reduce((sum, gap) => sum + gap.ms - ownMs(gap), 0);
        from = proxy.log().length;
        expect({ longest: longestTurn(report), livez, metrics }).toEqual({
          longest: expect.toSatisfy((ms: number) => ms < LONGEST_MS),
          livez: expect.toSatisfy((ms: number) => ms < patienceMs),
          metrics: expect.toSatisfy((ms: number) => ms < patienceMs),
        });
      };

      beforeAll(async () => {
        socket = join(bench.cluster.folder, `loop-${mode}-${tool}.sock`);
        const args = [`--config=${await configure(mode)}`, `--iptables-tool=${tool}`];
        asking = startAnswerTimes(bench.lab, 'node1', [LIVEZ, METRICS]);
        proxy = bench.cluster.startProxy('node1', args, { env: probeEnvironment(socket), withKubeconfig: false });
        await proxy.waitForLog(/pointsman starts/, PATIENCE_MS);
        // loading the program is one turn, and nobody is answered before
        for (const deadline = Date.now() + PATIENCE_MS; !(LIVEZ in (await asking.answers())); await sleep(20)) {
          if (Date.now() > deadline) throw new Error(`${LIVEZ} does not answer\n${proxy.log()}`);
        }
        await takeReport(socket);
      });
      afterAll(async () => {
        asking?.stop();
        await proxy?.stop('SIGKILL');
      });

      it('at the start', async () => {
        await isSynced();
        await expectAnswers();
      });

      it('when all watches are cut, and the history is lost', async () => {
        const { cluster } = bench;
        for (const resource of ['services', 'endpointslices'])
          await cluster.inject({ fault: 'answer', status: 410, resource, verb: 'watch', count: 1 });
        await cluster.inject({ fault: 'end-watches', abrupt: true });
        await cluster.put([
          serviceObjects(7, ENDPOINTS, `10.99.${VARIANTS.findIndex((one) => one.edit === edit)}.1`)[1],
        ]);
        await waitForLog(/"ipFamily":"IPv4","fullSync":false.*"replaced":[1-9].*\n/);
        await expectAnswers();
      });

      it('when the whole kernel is looked at', async () => {
        const [command, ...args] = edit;
        await bench.lab.run('node1', command, args, { timeoutMs: PATIENCE_MS });
        await waitForLog(/drift found and repaired/);
        await expectAnswers();
      });

      it('when the node changes, and everything is compiled anew', async () => {
        const labels = { 'topology.kubernetes.io/zone': `${mode}-${tool}` };
        await bench.cluster.put([{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1', labels } }]);
        await waitForLog(new RegExp(`"ipFamily":"IPv4","fullSync":false,"servicePorts":${SERVICES}\\D`));
        await expectAnswers();
      });

      it('when another mode comes, and the rules of this one go', async () => {
        await configure(next);
        await waitForLog(/pointsman starts/);
        await isSynced();
        await waitForLog(/rules of another mode removed {"ipFamily":"IPv6"/);
        await expectAnswers();
      });
    });
  },
);

const configuration = ({ cluster }: Bench, mode: Mode): string =>
  measuredConfiguration({ kubeconfig: cluster.kubeconfig, mode, syncPeriod: '5s' });
