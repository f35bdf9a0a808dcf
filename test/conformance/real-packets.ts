/**
 * The conformance table with real packets, the same in all modes: rows of one setting are loaded together, and go through
 * their steps together.
 */
import { expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import type { Bench } from '../kernel/cluster.ts';
import type { BackendName } from './differences.ts';
import { check, isWaiting, type Patience } from './packets.ts';
import { changesBetween, objectsIn, probesFor, statesOf, titleOf } from './play.ts';
import type { Flags, Row } from './rows.ts';
import { DEFAULT_FLAGS, ROWS } from './table.ts';
import { destinationOf, type KubernetesObject, nodeIn, objectsOf, type Variant } from './world.ts';

export interface Mode {
  readonly title: string;
  readonly backend: BackendName;
  /** Of every command. */
  readonly args: readonly string[];
  /** Unless a row says otherwise. */
  readonly flags?: Flags;
  readonly patience: Patience;
  /** Until a start or a step is in the kernel. */
  readonly kernelMs: number;
  readonly transportsOf: (row: Row) => readonly Transport[];
  /** That nothing is left behind. */
  readonly isClean: (bench: Bench) => Promise<void>;
}

export type Transport = Pick<Variant, 'family' | 'protocol'>;

export const TRANSPORTS: readonly Transport[] = (['IPv4', 'IPv6'] as const).flatMap((family) =>
  (['TCP', 'UDP'] as const).map((protocol) => ({ family, protocol })),
);

interface Group {
  readonly flags: Flags;
  readonly zone: string | undefined;
  readonly rows: readonly Row[];
}

/** Rows that run under the same flags on the same node. */
const groups: readonly Group[] = (() => {
  const byKey = new Map<string, { flags: Flags; zone: string | undefined; rows: Row[] }>();
  for (const row of ROWS) {
    const flags = { ...DEFAULT_FLAGS, ...row.flags };
    const zone = row.zone === 'none' ? undefined : 'za';
    const key = JSON.stringify([flags, zone ?? null]);
    const group = byKey.get(key) ?? { flags, zone, rows: [] };
    group.rows.push(row);
    byKey.set(key, group);
  }
  return [...byKey.values()];
})();

/** A row in one variant. */
interface Case {
  readonly row: Row;
  readonly name: string;
  readonly variant: Variant;
}

/**
 * Numbers so that no two Services of a whole run share an address or a port: a UDP flow outlives its Service, and would be
 * taken for one of the next Service there.
 */
export const numbering = (first: number): (() => number) => {
  let latest = first - 1;
  return () => {
    latest += 1;
    return latest;
  };
};

const BARRIERS: readonly Variant[] = (['IPv4', 'IPv6'] as const).map((family, i) => ({
  family,
  protocol: 'TCP',
  number: 1 + i,
}));
/** Those of barriers come before. */
export const FIRST_NUMBER = 1 + BARRIERS.length;
const FIRST_BARRIER_PORT = 1_000;
const BARRIER_TRY_MS = 100;

const barrierObjects = (round: number): readonly KubernetesObject[] =>
  BARRIERS.flatMap((variant) =>
    objectsOf(
      `barrier-${variant.family.toLowerCase()}`,
      { port: FIRST_BARRIER_PORT + round, endpoints: [{ on: round % 2 === 0 ? 'pod1' : 'pod2' }] },
      variant,
    ),
  );

/**
 * Waits until all that was put before is in the kernel. Services and slices are watched apart, so both of a Service a family
 * change, and both are seen to have; and twice, as the first may be written ahead of others that came with it.
 */
const passBarrier = async ({ lab, cluster }: Bench, round: number, patienceMs: number): Promise<void> => {
  const agent = await lab.agent('pod3');
  for (const turn of [2 * round, 2 * round + 1]) {
    await cluster.put(barrierObjects(turn));
    const server = turn % 2 === 0 ? 'pod1' : 'pod2';
    for (const variant of BARRIERS) {
      const target = { ...destinationOf('cluster', variant), port: FIRST_BARRIER_PORT + turn };
      for (const deadline = Date.now() + patienceMs; ; ) {
        const [outcome] = await agent.probe({ protocol: 'tcp', ...target, tries: 1, timeoutMs: BARRIER_TRY_MS });
        if (outcome?.kind === 'answer' && outcome.server === server) break;
        if (Date.now() > deadline)
          throw new Error(`${target.host} is not served by ${server}: ${JSON.stringify(outcome)}`);
      }
    }
  }
};

/** Rivals, of which one is told that it goes without; and a slow kernel's proxy that waits for its first lists. */
const USUAL = /not served as asked for|no rule is changed yet: waiting/;

/** What was written is what was read back, whenever it was looked at. */
const troubleIn = (log: string): readonly string[] =>
  log.split('\n').filter((line) => /drift|WARN|ERROR/.test(line) && !USUAL.test(line));

/** At most so many at once; the others wait in line. */
const limited = (most: number): (<T>(work: () => Promise<T>) => Promise<T>) => {
  const line: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= most) await new Promise<void>((resolve) => line.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = line.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
};

/** Declares the tests of one mode; `get` is asked when they run. */
export const conformanceTests = (mode: Mode, get: () => Bench, nextNumber: () => number): void => {
  const { title, backend, patience, kernelMs } = mode;
  const busy = limited(6);
  const waiting = limited(200);
  const ran = { probes: 0 };
  let total = 0;

  const stateOf = ({ row }: Case, step: number) => statesOf(row)[step];
  const objectsAt = (one: Case, step: number): readonly KubernetesObject[] => {
    const state = stateOf(one, step);
    return state === undefined ? [] : objectsIn(state, one.name, one.variant);
  };

  const runProbes = async (one: Case, step: number): Promise<void> => {
    const probes = probesFor(one.row, step, backend, one.variant.family);
    const checks = probes.map(async (probe) => {
      await (isWaiting(probe) ? waiting : busy)(() => check(get(), probe, one.variant, patience));
      ran.probes += 1;
    });
    const failures = (await Promise.allSettled(checks)).flatMap((end) =>
      end.status === 'rejected' ? [end.reason] : [],
    );
    if (failures.length > 0)
      throw failures.length === 1 ? failures[0] : new AggregateError(failures, failures.join('\n'));
  };

  /** One test a case; all their probes are under way from the first one on. */
  const probeTests = (cases: readonly Case[], step: number): void => {
    const outcomes = new Map<Case, Promise<void>>();
    const start = (): void => {
      for (const one of cases) {
        const outcome = runProbes(one, step);
        outcome.catch(() => undefined);
        outcomes.set(one, outcome);
      }
    };
    total += cases.reduce((sum, { row }) => sum + (statesOf(row)[step]?.probes.length ?? 0), 0);
    for (const one of cases) {
      const { family, protocol } = one.variant;
      it(`${title} ${family} ${protocol}: ${titleOf(one.row, step, backend, family)}`, async () => {
        if (outcomes.size === 0) start();
        await outcomes.get(one);
      });
    }
  };

  for (const { flags, zone, rows } of groups) {
    const cases = rows
      .flatMap((row) => mode.transportsOf(row).map((transport) => ({ row, transport })))
      .map(({ row, transport }, i) => ({ row, name: `row-${i}`, variant: { ...transport, number: nextNumber() } }));
    const laterSteps = Math.max(...rows.map((row) => statesOf(row).length - 1));
    let proxy: NodeProxy | undefined;

    it(`${title} starts with ${JSON.stringify(flags)}${zone === undefined ? ' on a node without a zone' : ''}`, async () => {
      const { cluster } = get();
      const args = Object.entries({ ...mode.flags, ...flags }).map(([flag, value]) => `--${flag}=${value}`);
      await cluster.put([nodeIn(zone)]);
      proxy = cluster.startProxy('node1', [...args, ...mode.args]);
      await proxy.waitForLog(/"ipFamily":"IPv6","fullSync":true/, kernelMs);
      await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/, kernelMs);
      await cluster.put(cases.flatMap((one) => objectsAt(one, 0)));
      await passBarrier(get(), 0, kernelMs);
    });
    probeTests(cases, 0);

    for (let step = 1; step <= laterSteps; step += 1) {
      const moving = cases.filter((one) => stateOf(one, step) !== undefined);
      it(`${title} takes the next step of ${moving.length} rows`, async () => {
        const changes = moving.map((one) => changesBetween(objectsAt(one, step - 1), objectsAt(one, step)));
        await get().cluster.delete(changes.flatMap(({ deleted }) => deleted));
        await get().cluster.put(changes.flatMap(({ put }) => put));
        await passBarrier(get(), step, kernelMs);
      });
      probeTests(moving, step);
    }

    it(`${title} stops, and cleans up after itself`, async () => {
      expect(await proxy?.stop()).toBe(0);
      const latest = cases.flatMap((one) => objectsAt(one, statesOf(one.row).length - 1));
      await get().cluster.delete([...latest, ...barrierObjects(0)]);
      expect(troubleIn(proxy?.log() ?? '')).toEqual([]);
      await mode.isClean(get());
    });
  }

  it(`${title}: ${total} of ${total} probes`, () => {
    expect(ran.probes).toBe(total);
  });
};
