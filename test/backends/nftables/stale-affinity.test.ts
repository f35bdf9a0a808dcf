/** Clients that are remembered are forgotten when their endpoint leaves the frontend, and only then. */
import { describe, expect, it } from 'vitest';
import { DepartedEndpoints } from '../../../src/backends/nftables/departed-endpoints.ts';
import type { InstalledFrontend } from '../../../src/backends/nftables/members.ts';
import { departedTargets, staleKey } from '../../../src/backends/nftables/stale-affinity.ts';
import { concat } from '../../../src/nftables-json/construct.ts';
import type { Expression } from '../../../src/nftables-json/schema.ts';

const A = '10.200.0.1 . 8080';
const B = '10.200.0.2 . 8080';
const guard = { set: 'sticky-ips', element: '' };

const held = (targets: readonly string[], isSticky = true, local: readonly string[] = []): InstalledFrontend => ({
  members: isSticky ? [guard] : [],
  slots: new Map([['endpoints', targets], ...(local.length > 0 ? [['local-endpoints', local] as const] : [])]),
});

describe('who has left', () => {
  it.each([
    ['one that is in no slot any more', held([A, B]), held([B]), [A]],
    ['nobody who only moved', held([A, B]), held([B, A]), []],
    ['one that is left in another list only', held([A, B], true, [A]), held([B], true, [A]), [A]],
    ['one that is not in a list that is new', held([A, B]), held([A, B], true, [A]), [B]],
    ['nobody, when a list ends whose endpoints are in the other', held([A, B], true, [A]), held([A, B]), []],
    ['one that was in the list that ends', held([B], true, [A]), held([B]), [A]],
    ['nobody who was in one list of two all the time', held([A, B], true, [A]), held([B, A], true, [A]), []],
    ['everybody, with the frontend', held([A, B]), undefined, [A, B]],
    ['everybody, when affinity ends', held([A, B]), held([A, B], false), [A, B]],
    ['nobody where there was no affinity', held([A, B], false), held([]), []],
    ['nobody where there was nothing', undefined, held([A]), []],
  ])('is %s', (_, before, after, expected) => {
    expect([...departedTargets(before, after)].sort()).toEqual(expected);
  });
});

describe('an entry', () => {
  const entry = (client: string, address: string, port: number, [ip = '', to = '']: readonly string[]) =>
    [
      { elem: { val: concat(client, address, 'tcp', port), timeout: 60, expires: 30 } },
      concat(ip, Number(to)) as Expression,
    ] as const;
  const departures = new DepartedEndpoints();
  departures.leave('10.96.0.1 . tcp . 80', [A]);
  departures.leave('tcp . 30001', [B]);
  const isFrontend = (key: string): boolean => ['10.96.0.1 . tcp . 80', '10.250.0.7 . tcp . 30001'].includes(key);
  const stale = (address: string, port: number, to: string) =>
    staleKey(entry('192.0.2.1', address, port, to.split(' . ')), departures, isFrontend);

  it('that leads to one who left is stale, and its bare key is given', () => {
    expect(stale('10.96.0.1', 80, A)).toEqual(concat('192.0.2.1', '10.96.0.1', 'tcp', 80));
  });

  it('that leads to one who stays is not', () => {
    expect(stale('10.96.0.1', 80, B)).toBeUndefined();
  });

  it('of another frontend is not, wherever it leads', () => {
    expect(stale('10.96.0.2', 80, A)).toBeUndefined();
    expect(stale('10.96.0.1', 81, A)).toBeUndefined();
  });

  it('at an address that is no Service’s is a NodePort’s', () => {
    expect(stale('10.250.0.1', 30_001, B)).toEqual(concat('192.0.2.1', '10.250.0.1', 'tcp', 30_001));
    expect(stale('10.250.0.1', 30_001, A)).toBeUndefined();
  });

  it('of a Service that is gone as a whole is stale too', () => {
    const gone = new DepartedEndpoints();
    gone.leave('10.96.0.9 . tcp . 80', [A]);
    const key = staleKey(entry('192.0.2.1', '10.96.0.9', 80, A.split(' . ')), gone, () => false);
    expect(key).toEqual(concat('192.0.2.1', '10.96.0.9', 'tcp', 80));
  });

  it('at an address of the node that is a Service’s too is that Service’s', () => {
    expect(stale('10.250.0.7', 30_001, B)).toBeUndefined();
  });
});

describe('endpoints that left', () => {
  const F = '10.96.0.1 . tcp . 80';

  it('wait until they are settled, all that left until a mark at once', () => {
    const left = new DepartedEndpoints();
    left.leave(F, [A]);
    const mark = left.snapshot();
    left.leave(F, [B]);
    expect(left.settle(mark).map(({ target }) => target)).toEqual([A]);
    expect([left.has(F, A), left.has(F, B), left.isEmpty]).toEqual([false, true, false]);
    left.settle(left.snapshot());
    expect(left.isEmpty).toBe(true);
  });

  it('and came back keep their clients', () => {
    const left = new DepartedEndpoints();
    left.leave(F, [A]);
    left.comeBack(F, [A, B]);
    expect([left.has(F, A), left.has(F, B)]).toEqual([false, false]);
    // but the kernel still has what says that it left
    expect(left.settle(left.snapshot()).map(({ target }) => target)).toEqual([A]);
  });

  it('and left again while they were looked for are looked for again', () => {
    const left = new DepartedEndpoints();
    left.leave(F, [A]);
    const mark = left.snapshot();
    left.comeBack(F, [A]);
    left.leave(F, [A]);
    expect(left.settle(mark)).toEqual([]);
    expect(left.has(F, A)).toBe(true);
  });
});
