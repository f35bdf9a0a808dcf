/**
 * What the kernel's refusal of a request lies in, by errno(3), decided here and nowhere else.
 *
 * `content`: the kernel does not like what it was given, so less of it may be taken. `environment`: nothing could have been
 * written just now, whatever it was. A number that is not in the table is about the content: one Service that the kernel
 * refuses in a way nobody has seen yet must not stop all others.
 */
import { constants } from 'node:os';

export type ErrnoScope = 'environment' | 'content';

/** The ruleset changed while the transaction was put together. Node.js has no name for it. */
export const ERESTART = 85;

/** By errno's name. Numbers of ipset's own, from 4096 on, are all about the content. */
export const SCOPES = {
  // no right to write here
  EPERM: 'environment',
  EACCES: 'environment',
  EROFS: 'environment',
  // short of something that has nothing to do with what was asked for
  ENOMEM: 'environment',
  ENOBUFS: 'environment',
  EAGAIN: 'environment',
  EMFILE: 'environment',
  EIO: 'environment',
  // interrupted, overtaken, or not answered
  EINTR: 'environment',
  ERESTART: 'environment',
  ETIMEDOUT: 'environment',
  ENETDOWN: 'environment',
  // it, or what it stands on, is otherwise than believed: a read tells at once, and the write comes again
  ENODEV: 'content',
  ENXIO: 'content',
  ENOENT: 'content',
  ESRCH: 'content',
  EEXIST: 'content',
  EADDRNOTAVAIL: 'content',
  // others refer to it
  EBUSY: 'content',
  // too large, too many, too deep: a set that is full, a chain of jumps
  E2BIG: 'content',
  EMSGSIZE: 'content',
  ENFILE: 'content',
  ENOSPC: 'content',
  EOVERFLOW: 'content',
  ERANGE: 'content',
  ELOOP: 'content',
  EMLINK: 'content',
  // not understood, or a part of the kernel is missing
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
