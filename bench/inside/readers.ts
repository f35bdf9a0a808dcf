/**
 * Requests one URL over many connections and reads the answers slowly or not at all. Arguments: the URL, the number of
 * connections, bytes a second for each. For each line on stdin prints how many were answered and refused.
 */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const [url = '', count = '128', perSecond = '0'] = process.argv.slice(2);
const { hostname, port, pathname, host } = new URL(url);
/** Interval of connections, so that they arrive one after another. */
const APART_MS = 10;
const STATUS = /^HTTP\/1\.1 (\d+)/;

const told = { answered: 0, refused: 0 };

/** Reads the head at once, and the rest at the given rate. */
const read = (socket: Socket): void => {
  socket.once('data', (chunk: Buffer) => {
    socket.pause();
    if (STATUS.exec(chunk.toString('latin1'))?.[1] === '200') told.answered += 1;
    else told.refused += 1;
    if (perSecond === '0') return;
    setInterval(() => socket.once('data', () => socket.pause()).resume(), 1_000 * (65_536 / Number(perSecond))).unref();
  });
};

for (let i = 0; i < Number(count); i += 1) {
  setTimeout(() => {
    const socket = connect({ host: hostname, port: Number(port) }, () => {
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    });
    socket.on('error', () => undefined);
    read(socket);
  }, i * APART_MS);
}
for await (const _ of createInterface({ input: process.stdin })) console.log(JSON.stringify(told));
process.exit();
