/**
 * Records the conversation with a real kernel, as root where there is IPVS and nothing in it:
 * what was sent and what came back, as hexadecimal text, one datagram a line.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { openSocket, PROTOCOL } from '../../src/netlink/socket.ts';
import { converse } from './scenario.ts';

const [target = 'recorded.txt'] = process.argv.slice(2);
const real = openSocket(PROTOCOL.GENERIC);
const lines: string[] = [];
const result = converse({
  send: (datagram) => {
    lines.push(`> ${datagram.toString('hex')}`);
    real.send(datagram);
  },
  receive: (timeoutMs) => {
    const datagram = real.receive(timeoutMs);
    if (datagram !== undefined) lines.push(`< ${datagram.toString('hex')}`);
    return datagram;
  },
  port: 0,
  close: () => real.close(),
});
const listing = execFileSync('ipvsadm', ['-Sn'], { encoding: 'utf8' });
writeFileSync(target, `${lines.join('\n')}\n\n${result}\n\n${listing}`);
