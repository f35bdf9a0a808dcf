/** The kernel's list of connections: which virtual servers somebody is connected to. The lines are a kernel's (6.1). */
import { expect, it } from 'vitest';
import { countLive } from '../../../src/backends/ipvs/in-use.ts';
import { parseConnection } from '../../../src/kernel/ipvs-connections.ts';

const LINES = [
  'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData',
  'TCP 0A010002 A2DE 0A090001 0050 0A010001 1F90 TIME_WAIT       113',
  'TCP fd01:0000:0000:0000:0000:0000:0000:0002 ADCE fd09:0000:0000:0000:0000:0000:0000:0001 0050 fd01:0000:0000:0000:0000:0000:0000:0001 1F90 ESTABLISHED     898',
  'TCP 0A010002 0000 0A090001 0050 0A010001 1F90 ASSURED          53',
  'TCP 0A010002 A2E8 0A090001 0050 0A010001 1F90 ESTABLISHED     898',
  'TCP 0A010002 A2EA 0A090001 0050 0A010001 1F90 CLOSE_WAIT       58',
  'TCP 0AFA0001 C1C4 0AC80115 1F90 0AC8000B 1F90 ESTABLISHED     892',
  '',
];

async function* listed() {
  for (const line of LINES) {
    const connection = parseConnection(line);
    if (connection !== undefined) yield connection;
  }
}

it('is read line by line', () => {
  expect(LINES.flatMap((line) => parseConnection(line) ?? [])).toHaveLength(5);
  expect(parseConnection(LINES[1] ?? '')).toEqual({
    protocol: 'TCP',
    address: '10.9.0.1',
    port: 80,
    state: 'TIME_WAIT',
    expires: 113,
  });
});

it('counts by address and port who is still connected; what remembers clients counts for nothing', async () => {
  expect([...(await countLive(listed()))]).toEqual([
    ['TCP fd09::1 80', 1],
    ['TCP 10.9.0.1 80', 2],
    ['TCP 10.200.1.21 8080', 1],
  ]);
});
