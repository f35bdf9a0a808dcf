/** What is waited for and what is missing: the log, the Events, and when rules are made without it. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { watchAwaited } from '../../src/commands/awaited.ts';
import type { Missing } from '../../src/model/missing.ts';

const TIMING = { sayMs: 30_000, firstSayMs: 5_000, patienceMs: 30_000, graceMs: 4_000, lookMs: 1_000 };

const watching = () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  const state = { waitingFor: undefined as string | undefined, missing: [] as readonly Missing[] };
  const said: string[] = [];
  const told: Missing[] = [];
  const goOn = vi.fn();
  const line =
    (level: string) =>
    (fields: unknown, message?: unknown): void =>
      void said.push(`${level} ${message ?? fields}`);
  const watched = watchAwaited({
    tracker: { waitingFor: () => state.waitingFor, goOn },
    missing: () => state.missing,
    log: { info: line('info'), warn: line('warn') } as never,
    events: { missing: (one) => void told.push(one) },
    timing: TIMING,
  });
  onTestFinished(() => {
    watched.stop();
    vi.useRealTimers();
  });
  return { state, said, told, goOn };
};

describe('what is waited for', () => {
  it('is said after five seconds, and gone on without after thirty', () => {
    const { state, said, goOn } = watching();
    state.waitingFor = 'x';
    vi.advanceTimersByTime(4_900);
    expect(said).toEqual([]);
    vi.advanceTimersByTime(24_000);
    expect(said).toEqual(['warn no rule is changed yet: waiting for x']);
    expect(goOn).not.toHaveBeenCalled();
    vi.advanceTimersByTime(3_000);
    expect(goOn).toHaveBeenCalled();
  });
});

describe('what is missing', () => {
  const one: Missing = { what: 'Node n1', why: 'there is none' };

  it('is told once, in the log and as an Event, and that it came', () => {
    const { state, said, told } = watching();
    state.missing = [one];
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual([one]);
    expect(said).toEqual(['warn something is missing, going on without it']);
    state.missing = [];
    vi.advanceTimersByTime(1_000);
    expect(said.at(-1)).toBe('info not missing any more');
  });

  it('in clusters of its version is no warning and no Event, until there is another reason', () => {
    const { state, said, told } = watching();
    state.missing = [{ ...one, isExpected: true }];
    vi.advanceTimersByTime(60_000);
    expect([...said, ...told]).toEqual([]);
    state.missing = [one];
    vi.advanceTimersByTime(1_000);
    expect(told).toEqual([one]);
  });

  it('for a moment is told to nobody', () => {
    const { state, said, told } = watching();
    state.missing = [one];
    vi.advanceTimersByTime(3_000);
    state.missing = [];
    vi.advanceTimersByTime(10_000);
    expect([...said, ...told]).toEqual([]);
  });
});
