/**
 * A line to a server: what comes over it, good or bad, is heard as outcomes, so that nothing throws later.
 *
 * A TCP server speaks first and then answers each line feed; a UDP server answers each datagram, the first of which is
 * sent at once. Owns the sockets of a client; knows nothing of how often and how long one asks.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { familyOf } from '../../../model/address.ts';
import { outcomeOf, type ProbeOutcome, type ProbeTarget, type ServerAnswer, type Transport } from '../outcome.ts';

export interface ProbeSocket {
  /** Sends a question. */
  ask(): void;
  end(): void;
  /** Whether one failure is the end of it. */
  readonly fragile: boolean;
}

type Open = (target: ProbeTarget, hear: (outcome: ProbeOutcome) => void) => ProbeSocket;

const QUESTION = '?\n';

/** Calls `onLine` for each whole line. */
export const eachLine = (socket: Socket, onLine: (line: string) => void): void => {
  let rest = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
};

const readAnswer = (text: string): ProbeOutcome => {
  try {
    return { kind: 'answer', ...(JSON.parse(text) as ServerAnswer) };
  } catch {
    return { kind: 'error', code: 'not an answer' };
  }
};

/**
 * Ends a connection by a reset: an orderly end would leave the port waiting for a minute, and a load would soon run out
 * of ports. While it is not yet made there is nothing to reset.
 */
const drop = (socket: Socket): void => {
  if (socket.destroyed) return;
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
};

const openTcp: Open = ({ host, port, localPort, sourceAddress }, hear) => {
  const from = {
    ...(localPort === undefined ? {} : { localPort }),
    ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
  };
  const socket = connect({ host, port, ...from, noDelay: true });
  eachLine(socket, (line) => hear(readAnswer(line)));
  socket.on('error', (error) => hear(outcomeOf(error)));
  socket.on('close', () => hear({ kind: 'error', code: 'closed' }));
  return { ask: () => socket.write(QUESTION), end: () => drop(socket), fragile: true };
};

/** A connected socket, as only that is told of ICMP errors. */
const openUdp: Open = ({ host, port, localPort = 0, sourceAddress }, hear) => {
  const socket = createSocket(familyOf(host) === 'IPv4' ? 'udp4' : 'udp6');
  const onError = (error?: Error | null): void => {
    if (error) hear(outcomeOf(error));
  };
  // The sender's own filter says EPERM both when it drops and when it refuses; a refusal follows as an ICMP error.
  const onSent = (error: NodeJS.ErrnoException | null): void => {
    if (error?.code !== 'EPERM') onError(error);
  };
  let connected = false;
  const ask = (): void => {
    if (connected) socket.send(QUESTION, onSent);
  };
  const onConnect = (error?: Error): void => {
    connected = error === undefined;
    onError(error);
    ask();
  };
  socket.on('error', onError);
  socket.on('message', (message) => hear(readAnswer(message.toString())));
  const from = sourceAddress === undefined ? {} : { address: sourceAddress };
  socket.bind({ port: localPort, ...from }, () => socket.connect(port, host, onConnect));
  return { ask, end: () => socket.close(), fragile: false };
};

const OPENERS: Readonly<Record<Transport, Open>> = { tcp: openTcp, udp: openUdp };

/** Opens a line. `hear` is never called before this has returned. */
export const openLine: Open = (target, hear) => OPENERS[target.protocol](target, hear);
