/** Against bytes recorded from Linux 6.1 (record.ts): what is sent is what that kernel took, and its answers are read. */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { describe, expect, it } from 'vitest';
import { Ipvs } from '../../src/ipvs-netlink/ipvs.ts';
import { ERRNO } from '../../src/netlink/error.ts';
import { fakeSocket, refuse } from '../../src/netlink/fake-socket.ts';
import { converse } from './scenario.ts';

const [conversation = '', result = ''] = readFileSync(
  new URL('../fixtures/ipvs-netlink.txt', import.meta.url),
  'utf8',
).split('\n\n');
const lines = conversation.split('\n');

/** The recorded kernel: insists on the recorded words, and gives the recorded answers. */
const recorded = () => {
  let at = 0;
  return fakeSocket((_, datagram) => {
    expect(`> ${datagram.toString('hex')}`).toBe(lines[at]);
    at += 1;
    const from = at;
    while (lines[at]?.startsWith('< ')) at += 1;
    return lines.slice(from, at).map((line) => Buffer.from(line.slice(2), 'hex'));
  });
};

describe('IPVS', () => {
  it('was recorded on a machine of this byte order', () => {
    expect(endianness()).toBe('LE');
  });

  it('is spoken to, and understood, as recorded', () => {
    expect(converse(recorded())).toBe(result);
  });

  it('that the kernel lacks is told', () => {
    const kernel = fakeSocket((messages) => messages.map((message) => refuse(message, ERRNO.ENOENT)));
    expect(() => Ipvs.open(kernel)).toThrow('ENOENT');
  });
});
