import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Progress } from '../../src/observe/progress.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Bench {
  readonly progress: Progress;
  /** The log's lines. */
  readonly lines: readonly unknown[];
  /** What was written to the terminal. */
  readonly screen: () => string;
  /** Passes the time, and says how far each family is. */
  readonly later: (ms: number, parts: Readonly<Record<string, number>>) => void;
}

const bench = (isTTY: boolean): Bench => {
  const lines: unknown[] = [];
  let written = '';
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 80 });
  stream.on('data', (chunk: Buffer) => {
    written += chunk.toString();
  });
  // a pipe of our own with the terminal's two properties: all that a bar asks of one
  const terminal = stream as unknown as NodeJS.WriteStream;
  const log = { info: (fields: unknown, message?: string) => lines.push([message, fields]) };
  const progress = new Progress(['IPv4', 'IPv6'], log, terminal);
  const later = (ms: number, parts: Readonly<Record<string, number>>): void => {
    vi.advanceTimersByTime(ms);
    for (const [name, part] of Object.entries(parts)) progress.update(name, part);
  };
  return { progress, lines, screen: () => written, later };
};

const percents = (screen: string): readonly number[] => [
  ...new Set((screen.match(/\d+%/g) ?? []).map((text) => Number.parseInt(text, 10))),
];
const HIDE_CURSOR = '\u001B[?25l';
const SHOW_CURSOR = '\u001B[?25h';

describe('in a log', () => {
  it('a first sync of less than a second says nothing', () => {
    const { lines, screen, later } = bench(false);
    for (let i = 0; i < 10; i += 1) later(99, { IPv4: i / 10, IPv6: i / 10 });
    later(99, { IPv4: 1, IPv6: 1 });
    expect(lines).toEqual([]);
    expect(screen()).toBe('');
  });

  it('a longer one says how far it is, once a second', () => {
    const { lines, screen, later } = bench(false);
    for (let i = 0; i <= 35; i += 1) later(100, { IPv4: i / 64, IPv6: i / 128 });
    expect(lines).toEqual([
      ['first sync under way', { percent: 11, seconds: 1 }],
      ['first sync under way', { percent: 23, seconds: 2 }],
      ['first sync under way', { percent: 34, seconds: 3 }],
    ]);
    expect(screen()).toBe('');
  });

  it('counts from the first thing done, not from the start of the program', () => {
    const { lines, later } = bench(false);
    later(60_000, { IPv4: 0.2 });
    later(900, { IPv4: 1, IPv6: 0.5 });
    expect(lines).toEqual([]);
    later(600, { IPv6: 0.6 });
    expect(lines).toEqual([['first sync under way', { percent: 80, seconds: 2 }]]);
  });

  it('says nothing of later syncs', () => {
    const { lines, later } = bench(false);
    later(0, { IPv4: 1, IPv6: 0.5 });
    later(500, { IPv6: 1 });
    for (let i = 0; i < 5; i += 1) later(5_000, { IPv4: 0.5, IPv6: 1 });
    expect(lines).toEqual([]);
  });
});

describe('on a terminal', () => {
  it('a first sync of less than a second draws nothing', () => {
    const { screen, later } = bench(true);
    for (let i = 0; i < 10; i += 1) later(99, { IPv4: i / 10, IPv6: i / 10 });
    later(99, { IPv4: 1, IPv6: 1 });
    vi.advanceTimersByTime(10_000);
    expect(screen()).toBe('');
  });

  it('a longer one draws a bar, of both families together, and no lines', () => {
    const { lines, screen, later } = bench(true);
    for (let i = 0; i <= 16; i += 1) later(200, { IPv4: i / 16, IPv6: i / 32 });
    expect(screen()).toContain('first sync |');
    const shown = percents(screen());
    expect(shown.slice(0, 3)).toEqual([21, 23, 28]);
    expect(shown).toEqual([...shown].sort((a, b) => a - b));
    expect(lines).toEqual([]);
  });

  it('takes the bar away when both are done, and gives the cursor back', () => {
    const { screen, later } = bench(true);
    later(0, { IPv4: 0.1 });
    later(2_000, { IPv4: 1, IPv6: 0.5 });
    expect(screen()).toContain(HIDE_CURSOR);
    later(100, { IPv6: 1 });
    const drawn = screen();
    expect(drawn.lastIndexOf(SHOW_CURSOR)).toBeGreaterThan(drawn.lastIndexOf(HIDE_CURSOR));
    later(5_000, { IPv4: 1, IPv6: 0.5 });
    expect(screen()).toBe(drawn);
    expect(vi.getTimerCount()).toBe(0); // a bar that goes on would keep the process alive
  });

  it('takes it away unfinished when told to, for good', () => {
    const { progress, screen, later } = bench(true);
    later(0, { IPv4: 0.1 });
    later(2_000, { IPv4: 0.5 });
    progress.stop();
    const drawn = screen();
    expect(drawn.lastIndexOf(SHOW_CURSOR)).toBeGreaterThan(drawn.lastIndexOf(HIDE_CURSOR));
    later(1_000, { IPv4: 0.7 });
    expect(screen()).toBe(drawn);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('may be stopped before anything was drawn', () => {
    const { progress, screen } = bench(true);
    progress.stop();
    progress.stop();
    expect(screen()).toBe('');
  });
});
