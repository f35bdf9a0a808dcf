/**
 * One endpoint of one Service is replaced: what that costs does not depend on anything that somebody else has a say in. Counted in
 * operations, at once and at a hundred times of each such thing; `npm run bench -- growth` prints the table.
 */
import { appendFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Operations } from './counter.ts';
import type { Mode, Sent } from './program.ts';

// these first: what is loaded later is counted block by block
const { countOperations } = await import('./counter.ts');
const { start } = await import('./program.ts');
const { DIMENSIONS, OF_ITS_OWN, USUAL } = await import('./dimensions.ts');

/** Where the figures go besides. */
const TABLE = process.env.GROWTH_TABLE;
const FEW = 8;
const TIMES = 100;
const MODES: readonly Mode[] = ['iptables', 'nftables', 'ipvs'];

interface Cost {
  readonly operations: Operations;
  readonly sent: Sent;
}

const costAmong = async (mode: Mode, dimension: string, count: number): Promise<Cost> => {
  const world = { ...DIMENSIONS, ...OF_ITS_OWN }[dimension]?.(count);
  if (world === undefined) throw new Error(`no dimension ${dimension}`);
  const { objects, addresses = ['10.250.0.1'], prepare, flags = {}, probed = USUAL } = world;
  const life = await start(mode, [...objects, probed.service, probed.slice(1)], addresses, flags);
  prepare?.(life);
  await life.put(probed.slice(2)); // the first change may find something to be made ready
  await life.rest();
  const costs: Cost[] = [];
  for (const version of [3, 4]) {
    const before = { ...life.sent };
    const operations = await countOperations(() => life.put(probed.slice(version)));
    const sent = { messages: life.sent.messages - before.messages, bytes: life.sent.bytes - before.bytes };
    costs.push({ operations, sent });
  }
  // the profiler counts some runs of before in the first
  const [first, second] = costs as [Cost, Cost];
  return second.operations.runs < first.operations.runs ? second : first;
};

/** For `npm run bench -- growth`: one line of JSON a row. */
const tell = (file: string, mode: Mode, dimension: string, costs: readonly [few: Cost, many: Cost]): void => {
  const [few, many] = costs;
  const more = [...many.operations.byFunction]
    .map(([name, runs]) => ({ name, runs: runs - (few.operations.byFunction.get(name) ?? 0) }))
    .filter(({ runs }) => runs > 20)
    .sort((a, b) => b.runs - a.runs);
  const figures = costs.map(({ operations: { runs, walked }, sent }) => ({ runs, walked, ...sent }));
  appendFileSync(file, `${JSON.stringify({ mode, dimension, figures, more: more.slice(0, 8) })}\n`);
};

/** Of the other modes the kernel keeps them by itself. */
const OF_NFTABLES = ['remembered clients of another Service'];
const counted = (mode: Mode): readonly string[] =>
  Object.keys(DIMENSIONS).filter((name) => mode === 'nftables' || !OF_NFTABLES.includes(name));

const expectSameSent = (few: Cost, many: Cost): void => {
  expect(few.sent.bytes).toBeGreaterThan(0);
  expect(many.sent.messages).toBeLessThanOrEqual(few.sent.messages);
  expect(many.sent.bytes).toBeLessThanOrEqual(few.sent.bytes * 1.1);
};

describe.each(MODES)('mode %s', (mode) => {
  it.each(counted(mode))(
    'the same at a hundred times: %s',
    async (dimension) => {
      const few = await costAmong(mode, dimension, FEW);
      const many = await costAmong(mode, dimension, FEW * TIMES);
      if (TABLE !== undefined) tell(TABLE, mode, dimension, [few, many]);
      expectSameSent(few, many);
      expect(few.operations.runs).toBeGreaterThan(100);
      expect(many.operations.runs).toBeLessThanOrEqual(few.operations.runs * 1.1 + 50);
      expect(many.operations.walked).toBeLessThanOrEqual(few.operations.walked * 1.1 + 50);
    },
    120_000,
  );

  it.each(Object.keys(OF_ITS_OWN))(
    'nothing else is written of what the Service itself has a hundred times: %s',
    async (dimension) => {
      const few = await costAmong(mode, dimension, FEW);
      const many = await costAmong(mode, dimension, FEW * TIMES);
      // in more transactions, as one turn compares so much
      expect(many.sent.bytes).toBeLessThanOrEqual(few.sent.bytes * 1.1);
      expect(few.sent.bytes).toBeGreaterThan(0);
    },
    120_000,
  );
});
