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
const { DIMENSIONS, probedService, probedSlice } = await import('./dimensions.ts');

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
  const world = DIMENSIONS[dimension]?.(count);
  if (world === undefined) throw new Error(`no dimension ${dimension}`);
  const { objects, addresses = ['10.250.0.1'], prepare } = world;
  const life = await start(mode, [...objects, probedService, probedSlice(1)], addresses);
  prepare?.(life);
  await life.put(probedSlice(2)); // the first change may find something to be made ready
  const before = { ...life.sent };
  const operations = await countOperations(() => life.put(probedSlice(3)));
  const sent = { messages: life.sent.messages - before.messages, bytes: life.sent.bytes - before.bytes };
  return { operations, sent };
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

/** What still grows: each mended one leaves this list, and is counted from then on. */
const GROWING: Readonly<Record<Mode, readonly string[]>> = {
  iptables: [],
  ipvs: [],
  nftables: ['remembered clients of another Service', 'sticky Services, each with a time-out of its own'],
};
/** Of the other modes the kernel keeps them by itself. */
const OF_NFTABLES = ['remembered clients of another Service'];
const counted = (mode: Mode): readonly string[] =>
  Object.keys(DIMENSIONS)
    .filter((name) => mode === 'nftables' || !OF_NFTABLES.includes(name))
    .filter((name) => TABLE !== undefined || !GROWING[mode].includes(name));

describe.each(MODES)('mode %s', (mode) => {
  it.each(counted(mode))(
    'the same at a hundred times: %s',
    async (dimension) => {
      const few = await costAmong(mode, dimension, FEW);
      const many = await costAmong(mode, dimension, FEW * TIMES);
      if (TABLE !== undefined) tell(TABLE, mode, dimension, [few, many]);
      expect(few.sent.bytes).toBeGreaterThan(0);
      expect(few.operations.runs).toBeGreaterThan(100);
      expect(many.sent.messages).toBeLessThanOrEqual(few.sent.messages);
      expect(many.sent.bytes).toBeLessThanOrEqual(few.sent.bytes * 1.1);
      expect(many.operations.runs).toBeLessThanOrEqual(few.operations.runs * 1.1 + 50);
      expect(many.operations.walked).toBeLessThanOrEqual(few.operations.walked * 1.1 + 50);
    },
    120_000,
  );
});
