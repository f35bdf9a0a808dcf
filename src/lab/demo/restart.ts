/** Demo, restart: a proxy is killed under load and started again; no request fails, and it has nothing to write. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeProxy } from '../cluster.ts';
import type { HeldState } from '../network/agent/calls.ts';
import { type CallPath, targetOf } from './calls.ts';
import { type DemoClaim, type Findings, formatCount } from './findings.ts';
import { type ListedRule, readLines } from './kernel.ts';
import { type PlayAct, showActs, underLoad } from './load.ts';
import { FAMILIES, WEB } from './objects.ts';
import { CALLING_POD, LAST_PODS, logLines, type Stage, startProxyOn } from './stage.ts';

/** Node whose proxy is killed; all paths of the load use its rules. */
const NODE = 'node1';
const CALL_PATHS: readonly CallPath[] = [
  { from: CALLING_POD, by: 'ClusterIP' },
  { from: 'outside', by: 'NodePort at node1' },
  { from: NODE, by: 'ClusterIP' },
];

const ACT_MS = 1_000;

interface RestartFindings {
  readonly before: readonly ListedRule[];
  readonly after: readonly ListedRule[];
  readonly held: HeldState;
  /** Log of the new process. */
  readonly log: readonly string[];
}

const readBoth = async (stage: Stage): Promise<readonly ListedRule[]> =>
  (await Promise.all(FAMILIES.map((family) => readLines(stage, NODE, family)))).flat();

const killAndRestart = async (stage: Stage, proxy: NodeProxy, act: PlayAct): Promise<RestartFindings> => {
  const pause = (): Promise<void> => sleep(ACT_MS, undefined, { signal: stage.signal });
  const agent = await stage.lab.agent(CALLING_POD);
  const line = await agent.hold(targetOf(stage, WEB, 'ClusterIP', 'IPv4'), stage.signal);
  await act(`proxy of ${NODE} at work, pid ${proxy.pid}`, pause);
  const before = await readBoth(stage);
  await act(`kill -9 ${proxy.pid}: nobody there`, async () => {
    await proxy.stop('SIGKILL');
    await pause();
  });
  let log: readonly string[] = [];
  await act('started again', async () => {
    const next = await startProxyOn(stage, NODE);
    await pause();
    log = logLines(next);
  });
  const after = await readBoth(stage);
  return { before, after, held: await line.stop(), log };
};

const NOTHING_WRITTEN = /"fullSync":true,.*"added":0,"replaced":0,"removed":0/;

/** Claims of the restart. A rewritten rule's packet counter starts at zero, even when the rule is the same. */
const judge = ({ before, after, held, log }: RestartFindings): readonly DemoClaim[] => {
  const isSame = before.length === after.length && before.every(({ text }, i) => text === after[i]?.text);
  const isCounting = before.every(({ packets }, i) => packets === undefined || packets <= (after[i]?.packets ?? -1));
  const syncs = log.filter((line) => line.includes('"fullSync":true'));
  const rules = before.filter(({ packets }) => packets !== undefined).length;
  return [
    {
      text: `a connection from before the kill lives on: ${formatCount(held.roundTrips)} answers on it`,
      isKept: held.alive,
    },
    {
      text: 'the new process read the kernel in both families, and found nothing to add, replace or remove',
      isKept: syncs.length === 2 && syncs.every((line) => NOTHING_WRITTEN.test(line)),
    },
    {
      text: `all ${rules} rules are as they were, and none of their packet counters began anew`,
      isKept: rules > 0 && isSame && isCounting,
    },
  ];
};

export const showRestart = async (stage: Stage, proxy: NodeProxy): Promise<Findings> => {
  const { page } = stage;
  page.section('A proxy is killed and started again under load');
  const { acts, requests, claim, result } = await underLoad(stage, WEB, CALL_PATHS, (act) =>
    killAndRestart(stage, proxy, act),
  );
  showActs(stage, acts, LAST_PODS);
  page.note('', 'What the new process says:');
  page.quote(...result.log);
  return { requests, claims: [claim, ...judge(result)] };
};
