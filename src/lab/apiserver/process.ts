/** The API server as a process of its own, so that it can live in a network namespace. */
import { once } from 'node:events';
import { ApiServer, type ApiServerOptions } from './server.ts';

/** Serves until standard input ends; says when it is ready on standard output. */
export const serveApi = async (options: string): Promise<void> => {
  const server = new ApiServer(JSON.parse(options) as ApiServerOptions);
  await server.start();
  process.stdout.write('ready\n');
  await once(process.stdin.resume(), 'end');
  await server.stop();
};
