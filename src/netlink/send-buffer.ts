/** SO_SNDBUF, which Node.js does not let TCP sockets have: what the kernel keeps of a connection whose other end does not read. */
import { createRequire } from 'node:module';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/**
 * Sockets that a listening one accepts have its bound, in bytes of data about. Without one the kernel keeps up to 4 MiB for each. False
 * where the kernel does not allow it.
 */
export const limitSendBuffer = (fd: number, bytes: number): boolean => {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const setsockopt = koffi.load(null).func('int setsockopt(int, int, int, const void *, uint)');
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, Buffer.from(Int32Array.of(bytes).buffer), 4) === 0;
};
