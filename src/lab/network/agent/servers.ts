/** Servers that answer with their name and the client's source address. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { familyOf } from '../../../model/address.ts';
import type { ServerAnswer, Transport } from '../outcome.ts';
import type { AgentTask, ServeOptions, ServerState } from './calls.ts';
import { eachLine } from './probe-socket.ts';

export type Server = AgentTask<ServerState> & { readonly port: number };

/** Address for both families; IPv4 clients appear as `::ffff:10.0.0.1`. */
const EVERYWHERE = '::';

const answer = (server: string, address: string | undefined, port: number | undefined): string => {
  const said: ServerAnswer = { server, client: { address: (address ?? '').replace(/^::ffff:/, ''), port: port ?? 0 } };
  return JSON.stringify(said);
};

/**
 * TCP server: sends its answer first, so that a client learns the server without a request, then answers every line.
 */
const serveTcp = async ({ port, host = EVERYWHERE, name }: ServeOptions): Promise<Server> => {
  const open = new Set<Socket>();
  let served = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    served += 1;
    open.add(socket);
    const said = `${answer(name, socket.remoteAddress, socket.remotePort)}\n`;
    socket.on('error', () => undefined); // clients close by a reset
    socket.on('close', () => open.delete(socket));
    eachLine(socket, () => socket.write(said));
    socket.write(said);
  });
  server.listen({ port, host });
  await once(server, 'listening');
  const actual = (server.address() as AddressInfo).port;
  const state = async (): Promise<ServerState> => ({ port: actual, served });
  const stop = async (): Promise<ServerState> => {
    server.close();
    for (const socket of open) socket.destroy();
    return state();
  };
  return { port: actual, state, stop };
};

const serveUdp = async ({ port, host = EVERYWHERE, name }: ServeOptions): Promise<Server> => {
  const socket = createSocket(familyOf(host) === 'IPv4' ? 'udp4' : 'udp6');
  let served = 0;
  socket.on('message', (_question, client) => {
    served += 1;
    // an unreachable client is no error of the server
    socket.send(answer(name, client.address, client.port), client.port, client.address, () => undefined);
  });
  socket.bind(port, host);
  await once(socket, 'listening');
  const actual = socket.address().port;
  const state = async (): Promise<ServerState> => ({ port: actual, served });
  const stop = async (): Promise<ServerState> => {
    socket.close();
    return state();
  };
  return { port: actual, state, stop };
};

const SERVERS: Readonly<Record<Transport, (options: ServeOptions) => Promise<Server>>> = {
  tcp: serveTcp,
  udp: serveUdp,
};

/** Starts a server. Resolves when it listens. */
export const serve = (options: ServeOptions): Promise<Server> => SERVERS[options.protocol](options);
