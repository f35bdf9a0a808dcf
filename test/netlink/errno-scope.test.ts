/** What a refusal lies in, number by number. */
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ERESTART, type ErrnoScope, SCOPES, scopeOf } from '../../src/netlink/errno-scope.ts';

const NUMBERS: Readonly<Record<string, number>> = { ...constants.errno, ERESTART };
const names = (text: string, scope: ErrnoScope) => text.split(' ').map((name) => [name, scope] as const);

const ROWS = [
  ...names('EPERM EACCES EROFS', 'environment'),
  ...names('ENOMEM ENOBUFS EAGAIN EMFILE EIO', 'environment'),
  ...names('EINTR ERESTART ETIMEDOUT', 'environment'),
  ...names('ENETDOWN', 'environment'),
  ...names('ENODEV ENXIO', 'content'),
  ...names('ENOENT ESRCH EEXIST EADDRNOTAVAIL EBUSY', 'content'),
  ...names('E2BIG EMSGSIZE ENFILE ENOSPC EOVERFLOW ERANGE ELOOP EMLINK', 'content'),
  ...names('EINVAL EOPNOTSUPP EAFNOSUPPORT EPROTONOSUPPORT', 'content'),
];

describe('errno', () => {
  it.each(ROWS)('%s: %s', (name, scope) => {
    const number = NUMBERS[name];
    expect(number).toBeGreaterThan(0);
    expect(scopeOf(number ?? 0)).toBe(scope);
  });

  it('has a row here for each in the table', () => {
    expect(new Set(ROWS.map(([name]) => name))).toEqual(new Set(Object.keys(SCOPES)));
  });

  it.each([4_096, 4_101, 4_352, 100_000])('%i, of ipset or unheard of, is about the content', (number) => {
    expect(scopeOf(number)).toBe('content');
  });
});
