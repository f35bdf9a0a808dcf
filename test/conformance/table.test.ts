/** The conformance table as a table: how much it asks, and that nothing in it is said twice or of nobody. */
import { describe, expect, it } from 'vitest';
import { type BackendName, DIFFERENCES } from './differences.ts';
import { probesFor, probesIn, statesOf } from './play.ts';
import { ROWS } from './table.ts';

const TOTAL = probesIn(ROWS);
const LEAST = 250;
const BACKENDS: readonly BackendName[] = ['iptables', 'nftables', 'ipvs'];

/** A state that a row comes back to is the same state. */
const DISTINCT = new Set(
  ROWS.flatMap((row) =>
    statesOf(row).flatMap(({ service, rival, probes }) =>
      probes.map(({ from, to }) => JSON.stringify([row.flags, row.zone, service, rival, from, to])),
    ),
  ),
).size;

const duplicates = (texts: readonly string[]): readonly string[] =>
  texts.filter((text, i) => texts.indexOf(text) !== i);

describe('the conformance table', () => {
  it(`asks ${TOTAL} probes in ${ROWS.length} rows, ${DISTINCT} of them distinct and at least ${LEAST}`, () => {
    expect(DISTINCT).toBeGreaterThanOrEqual(LEAST);
  });

  it('asks nobody twice in one state', () => {
    for (const row of ROWS) {
      for (const { name, probes } of statesOf(row)) {
        expect(duplicates(probes.map(({ from, to }) => `${from} to ${to}`)), `${row.name} ${name}`).toEqual([]);
      }
    }
  });

  it('calls every row by a name of its own, and every step of a row', () => {
    expect(duplicates(ROWS.map(({ name }) => name))).toEqual([]);
    for (const row of ROWS) expect(duplicates(statesOf(row).map(({ name }) => name)), row.name).toEqual([]);
  });

  it('asks something in every state', () => {
    const silent = ROWS.filter((row) => statesOf(row).some(({ probes }) => probes.length === 0));
    expect(silent.map(({ name }) => name)).toEqual([]);
  });

  it.each(DIFFERENCES)('has differences in rows that there are: $reason', (difference) => {
    for (const [name, states] of Object.entries(difference.rows)) {
      const row = ROWS.find((one) => one.name === name);
      if (row === undefined) throw new Error(`there is no row ${name}`);
      for (const step of states) {
        const family = difference.family ?? 'IPv4';
        const own = statesOf(row)[step]?.probes;
        for (const backend of BACKENDS.filter((one) => difference.backends.includes(one))) {
          expect(probesFor(row, step, backend, family), `${name}, state ${step}`).not.toEqual(own);
        }
      }
    }
  });
});
