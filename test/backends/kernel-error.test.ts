/** What the engine hears of refusals. */
import { describe, expect, it } from 'vitest';
import { asKernelError, type KernelRefusal, refused } from '../../src/backends/kernel-error.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';

const refusal = (id: string, errno: number): KernelRefusal => ({
  cause: new NetlinkError(errno, ''),
  message: `${id} refused`,
  suspects: [id],
});

describe('refusals', () => {
  it('for reasons of the host name nobody', () => {
    const error = refused([refusal('a', ERRNO.EPERM), refusal('b', ERRNO.ENOMEM)]);
    expect(error).toMatchObject({ scope: 'environment', suspects: [], message: 'a refused; b refused' });
  });

  it('of both kinds blame those whose content it is, and nobody else', () => {
    const error = refused([refusal('a', ERRNO.ENOMEM), refusal('b', ERRNO.EINVAL), refusal('c', ERRNO.EACCES)]);
    expect(error).toMatchObject({ scope: 'content', suspects: ['b'] });
  });

  it('of many are shown in part, and all are suspects', () => {
    const error = refused(['a', 'b', 'c', 'd', 'e'].map((id) => refusal(id, ERRNO.EINVAL)));
    expect(error.message).toBe('a refused; b refused; c refused; and 2 more');
    expect(error.suspects).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('by a tool are what the tool’s end was', () => {
    const by = (scope: 'content' | 'environment') => refused([{ cause: { scope }, message: 'm', suspects: ['x'] }]);
    expect(by('content')).toMatchObject({ scope: 'content', suspects: ['x'] });
    expect(by('environment')).toMatchObject({ scope: 'environment', suspects: [] });
  });
});

it('an error of netlink itself says nothing of the content, whatever its number; others stay what they are', () => {
  expect(asKernelError(new NetlinkError(ERRNO.EINVAL, 'recv'))).toMatchObject({
    name: 'KernelError',
    scope: 'environment',
    suspects: [],
  });
  const other = new TypeError('x');
  expect(asKernelError(other)).toBe(other);
});
