/**
 * SO_SNDBUF, which Node.js cannot set for TCP sockets: the bound of what the kernel buffers for a peer that does not
 * read.
 */
import { createRequire } from 'node:module';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/**
 * Sets SO_SNDBUF of a listening socket, which accepted sockets inherit, to about `bytes` of data. Without it the kernel
 * buffers up to 4 MiB for each connection. Returns false when the kernel does not allow it.
 */
export const limitSendBuffer = (fd: number, bytes: number): boolean => {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const setsockopt = koffi.load(null).func('int setsockopt(int, int, int, const void *, uint)');
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, Buffer.from(Int32Array.of(bytes).buffer), 4) === 0;
};
