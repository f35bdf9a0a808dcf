/** The API server as a process of its own, so that it can live in a network namespace. */
import { createInterface } from 'node:readline';
import { ApiServer, type ApiServerOptions } from './server.ts';

/**
 * Serves until standard input ends. The lines `stop` and `start` there are an outage, as of a machine that loses neither
 * objects nor history; each is answered on standard output with `stopped` or `ready`.
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
