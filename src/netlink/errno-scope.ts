/**
 * Scope of an errno(3): whether the content of a request or the environment caused its refusal. Decided for all
 * backends here.
 *
 * `content`: the kernel refuses what it was given, so a smaller request may succeed. `environment`: no request could
 * have been written at this moment. An errno that is not in the table counts as content: one Service that the kernel
 * refuses for an unknown reason must not stop all others.
 */
import { constants } from 'node:os';

export type ErrnoScope = 'environment' | 'content';

/** The ruleset's generation changed while the transaction was put together. Node.js has no name for it. */
export const ERESTART = 85;

/** Scope by errno name. Numbers of ipset's own, from 4096 on, are all `content`. */
export const SCOPES = {
  // permission to write is missing
  EPERM: 'environment',
  EACCES: 'environment',
  EROFS: 'environment',
  // resources are short, independent of the request
  ENOMEM: 'environment',
  ENOBUFS: 'environment',
  EAGAIN: 'environment',
  EMFILE: 'environment',
  EIO: 'environment',
  // the call was interrupted, outdated, or not answered
  EINTR: 'environment',
  ERESTART: 'environment',
  ETIMEDOUT: 'environment',
  ENETDOWN: 'environment',
  // the object or its parent differs from what was believed: read back, then write again
  ENODEV: 'content',
  ENXIO: 'content',
  ENOENT: 'content',
  ESRCH: 'content',
  EEXIST: 'content',
  EADDRNOTAVAIL: 'content',
  // the object is referenced
  EBUSY: 'content',
  // a limit is exceeded: size of a set, depth of jumps
  E2BIG: 'content',
  EMSGSIZE: 'content',
  ENFILE: 'content',
  ENOSPC: 'content',
  EOVERFLOW: 'content',
  ERANGE: 'content',
  ELOOP: 'content',
  EMLINK: 'content',
  // the kernel does not support the request, or lacks a module
  EINVAL: 'content',
  EOPNOTSUPP: 'content',
  EAFNOSUPPORT: 'content',
  EPROTONOSUPPORT: 'content',
} as const satisfies Readonly<Record<string, ErrnoScope>>;

const NUMBERS: Readonly<Record<string, number>> = { ...constants.errno, ERESTART };

const BY_NUMBER: ReadonlyMap<number, ErrnoScope> = new Map(
  Object.entries(SCOPES).flatMap(([name, scope]) => {
    const number = NUMBERS[name];
    return number === undefined ? [] : [[number, scope] as const];
  }),
);

export const scopeOf = (errno: number): ErrnoScope => BY_NUMBER.get(errno) ?? 'content';
