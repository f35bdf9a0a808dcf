import { describe, expect, it } from 'vitest';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { HealthState } from '../../src/observe/health.ts';

const PERIOD_MS = 30_000;
const LIMIT_MS = 2 * PERIOD_MS;

/** A state whose time stands until it is moved. */
const start = (families: readonly IPFamily[] = IP_FAMILIES) => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  /** How far somebody has set the wall clock. */
  let jump = 0;
  const health = new HealthState(
    PERIOD_MS,
    () => now + jump,
    () => now,
  );
  for (const family of families) health.updated(family);
  const pass = (ms: number): void => {
    now += ms;
  };
  const verdict = (): string => {
    const { healthy, families: each } = health.snapshot();
    expect(health.isHealthy()).toBe(healthy);
    return [healthy, ...[...each].map(([family, one]) => `${family} ${one.healthy}`)].join(', ');
  };
  const set = (ms: number): void => {
    jump += ms;
  };
  return { health, pass, set, verdict, now: () => now };
};

const FINE = 'true, IPv4 true, IPv6 true';

describe('health as in kube-proxy', () => {
  it('is fine at the start (P1)', () => {
    expect(start().verdict()).toBe(FINE);
    expect(start([]).verdict()).toBe('true');
  });

  it.each([0, LIMIT_MS - 1, LIMIT_MS, 24 * 3_600_000])(
    'is fine %i ms after an update when nothing is queued (P2)',
    (ms) => {
      const { pass, verdict } = start();
      pass(ms);
      expect(verdict()).toBe(FINE);
    },
  );

  it.each([
    [['IPv4'], 'false, IPv4 false, IPv6 true'],
    [['IPv6'], 'false, IPv4 true, IPv6 false'],
    [['IPv4', 'IPv6'], 'false, IPv4 false, IPv6 false'],
  ] as const)('is not when a change in %s waits for two sync periods (P3)', (families, expected) => {
    const { health, pass, verdict } = start();
    for (const family of families) health.queued(family);
    pass(LIMIT_MS - 1);
    expect(verdict()).toBe(FINE);
    pass(1);
    expect(verdict()).toBe(expected);
  });

  it('counts from the oldest change that waits', () => {
    const { health, pass, verdict } = start();
    health.queued('IPv4');
    pass(LIMIT_MS - 1);
    health.queued('IPv4');
    pass(1);
    expect(verdict()).toBe('false, IPv4 false, IPv6 true');
  });

  it('is not cured by an update of the family that is well (P4)', () => {
    const { health, pass, verdict } = start();
    health.queued('IPv4');
    health.queued('IPv6');
    pass(LIMIT_MS);
    health.taken('IPv6');
    health.updated('IPv6');
    expect(verdict()).toBe('false, IPv4 false, IPv6 true');
    health.taken('IPv4');
    health.updated('IPv4');
    expect(verdict()).toBe(FINE);
  });

  it('does not judge a family that never began', () => {
    const { health, pass, verdict } = start(['IPv4']);
    health.queued('IPv6');
    pass(LIMIT_MS);
    expect(verdict()).toBe('true, IPv4 true');
  });

  it('tells when each family was last well, and the latest of them', () => {
    const { health, pass, now } = start();
    const began = now();
    pass(1_000);
    health.updated('IPv6');
    expect(health.snapshot()).toMatchObject({ updatedAt: began + 1_000 });
    expect(health.snapshot().families.get('IPv4')?.updatedAt).toBe(began);
    expect(start([]).health.snapshot().updatedAt).toBeUndefined();
  });
});

describe('health, more honest than in kube-proxy', () => {
  it('suffers when syncs have failed for two sync periods, although nothing is queued', () => {
    const { health, pass, verdict } = start();
    health.failed('IPv4');
    pass(LIMIT_MS - 1);
    health.failed('IPv4');
    expect(verdict()).toBe(FINE);
    pass(1);
    expect(verdict()).toBe('false, IPv4 false, IPv6 true');
    health.updated('IPv4');
    expect(verdict()).toBe(FINE);
    health.failed('IPv4'); // its patience begins anew
    expect(verdict()).toBe(FINE);
  });

  it('is not restored by a sync that began before the change came', () => {
    const { health, pass, verdict } = start();
    health.queued('IPv4');
    health.taken('IPv4');
    pass(LIMIT_MS - 2);
    health.queued('IPv4'); // while that sync writes
    health.updated('IPv4');
    pass(LIMIT_MS - 1);
    expect(verdict()).toBe(FINE);
    pass(1);
    expect(verdict()).toBe('false, IPv4 false, IPv6 true');
  });

  it('remembers what was taken up by a sync that failed', () => {
    const { health, pass, verdict } = start();
    health.queued('IPv4');
    pass(1_000);
    health.taken('IPv4');
    pass(LIMIT_MS - 2_000);
    health.queued('IPv4');
    health.taken('IPv4');
    pass(1_000);
    expect(verdict()).toBe('false, IPv4 false, IPv6 true');
  });
});

describe('a clock that is set', () => {
  const DAY_MS = 24 * 3_600_000;

  it.each([DAY_MS, -DAY_MS])('by %i ms makes nobody ill, and hides nothing', (ms) => {
    const { health, pass, set, verdict, now } = start();
    health.queued('IPv4');
    health.failed('IPv6');
    set(ms);
    pass(LIMIT_MS - 1);
    expect(verdict()).toBe(FINE);
    pass(1);
    expect(verdict()).toBe('false, IPv4 false, IPv6 false');
    health.taken('IPv4');
    for (const family of IP_FAMILIES) health.updated(family);
    expect(verdict()).toBe(FINE);
    expect(health.snapshot().updatedAt).toBe(now() + ms);
  });
});
