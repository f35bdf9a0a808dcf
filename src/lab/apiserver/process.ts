/** API server as a process of its own, which can run in a network namespace. */
import { createInterface } from 'node:readline';
import { ApiServer, type ApiServerOptions } from './server.ts';

/**
 * Serves until standard input ends. The input lines `stop` and `start` cause an outage that keeps objects and history;
 * they are answered with `stopped` and `ready` on standard output.
 */
export const serveApi = async (options: string): Promise<void> => {
  const server = new ApiServer(JSON.parse(options) as ApiServerOptions);
  await server.start();
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'stop') await server.stop();
    else if (line === 'start') await server.start();
    process.stdout.write(line === 'stop' ? 'stopped\n' : 'ready\n');
  }
  await server.stop();
};
