/**
 * Client sockets to a server: answers and errors alike are reported as outcomes, so nothing throws later.
 *
 * A TCP server sends first and then answers each line feed; a UDP server answers each datagram, the first of which is
 * sent at once. Owns the sockets; number and timing of requests are the caller's.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { familyOf } from '../../../model/address.ts';
import { outcomeOf, type ProbeOutcome, type ProbeTarget, type ServerAnswer, type Transport } from '../outcome.ts';

export interface ProbeSocket {
  /** Sends a request. */
  sendRequest(): void;
  end(): void;
  /** Whether one failure ends the socket. */
  readonly endsOnFailure: boolean;
}

type Open = (target: ProbeTarget, onOutcome: (outcome: ProbeOutcome) => void) => ProbeSocket;

const REQUEST_LINE = '?\n';

/** Calls `onLine` for each complete line. */
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
 * Closes a connection by a reset: an orderly close would leave the port in TIME_WAIT, and a load would run out of
 * ports. A connection that is not established yet needs no reset.
 */
const drop = (socket: Socket): void => {
  if (socket.destroyed) return;
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
};

const openTcp: Open = ({ host, port, localPort, sourceAddress }, onOutcome) => {
  const from = {
    ...(localPort === undefined ? {} : { localPort }),
    ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }),
  };
  const socket = connect({ host, port, ...from, noDelay: true });
  eachLine(socket, (line) => onOutcome(readAnswer(line)));
  socket.on('error', (error) => onOutcome(outcomeOf(error)));
  socket.on('close', () => onOutcome({ kind: 'error', code: 'closed' }));
  return { sendRequest: () => socket.write(REQUEST_LINE), end: () => drop(socket), endsOnFailure: true };
};

/** Opens a connected UDP socket, as only that gets ICMP errors. */
const openUdp: Open = ({ host, port, localPort = 0, sourceAddress }, onOutcome) => {
  const socket = createSocket(familyOf(host) === 'IPv4' ? 'udp4' : 'udp6');
  const onError = (error?: Error | null): void => {
    if (error) onOutcome(outcomeOf(error));
  };
  // The sender's own netfilter gives EPERM for drop and for reject; a rejection is followed by an ICMP error.
  const onSent = (error: NodeJS.ErrnoException | null): void => {
    if (error?.code !== 'EPERM') onError(error);
  };
  let connected = false;
  const sendRequest = (): void => {
    if (connected) socket.send(REQUEST_LINE, onSent);
  };
  const onConnect = (error?: Error): void => {
    connected = error === undefined;
    onError(error);
    sendRequest();
  };
  socket.on('error', onError);
  socket.on('message', (message) => onOutcome(readAnswer(message.toString())));
  const from = sourceAddress === undefined ? {} : { address: sourceAddress };
  socket.bind({ port: localPort, ...from }, () => socket.connect(port, host, onConnect));
  return { sendRequest, end: () => socket.close(), endsOnFailure: false };
};

const OPENERS: Readonly<Record<Transport, Open>> = { tcp: openTcp, udp: openUdp };

/** Opens a socket; `onOutcome` is not called before this has returned. */
export const openProbeSocket: Open = (target, onOutcome) => OPENERS[target.protocol](target, onOutcome);
