/** What the kernel keeps for a client that reads nothing, on real sockets. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { limitSendBuffer } from '../../src/netlink/send-buffer.ts';

const BYTES = 131_072;
const SENT = 16 * 2 ** 20;

/** How much of it the kernel takes from a server whose client does not read. */
const takenByKernel = async (limit: boolean): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  if (limit) expect(limitSendBuffer(fd, BYTES)).toBe(true);
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
  const [socket] = await accepted;
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  for (let i = 0; i < SENT / 65_536; i += 1) socket.write(Buffer.alloc(65_536));
  await sleep(300);
  return SENT - socket.writableLength;
};

it('is bounded by what the listening socket has', async () => {
  const usual = await takenByKernel(false);
  const limited = await takenByKernel(true);
  // what the client's own buffer takes is in both
  expect(limited).toBeLessThan(usual / 2);
});
