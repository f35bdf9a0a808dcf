/** What IPVS counts, by virtual server, and whose that is. */
import { describe, expect, it } from 'vitest';
import type { Handles } from '../../../src/backends/ipvs/handles.ts';
import { PacketMarks } from '../../../src/backends/ipvs/marks.ts';
import { readTraffic } from '../../../src/backends/ipvs/read-traffic.ts';
import { Ipvs, newService, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import { SETTINGS } from './memory-kernel.ts';
import { newKernel, start, tcp } from './world.ts';

const LOCAL = tcp('web', '10.96.0.1', ['10.200.0.1'], {
  nodePort: 30_080,
  externalPolicyLocal: true,
  externalIPs: ['198.51.100.7'],
});

/** Virtual servers behind a mark, by its name. */
const NAMES: Readonly<Record<string, string>> = {
  [`-f ${0x1000}`]: '-f (10.96.0.1 tcp 80)',
  [`-f ${0x5000}`]: '-f (10.96.0.1 tcp 80, own)',
};

describe('traffic', () => {
  it('is read by virtual server, those behind a mark included, and each is its service port’s', async () => {
    const kernel = newKernel();
    const { reconciler, sync } = start(kernel, 'IPv4');
    await sync([LOCAL]);
    const flags = kernel.ipvs.flags();
    for (const [i, flag] of flags.entries()) kernel.ipvs.count(flag, BigInt(i + 1), 10n, 9n, 1_000n, 2n ** 40n);
    const traffic = await reconciler.traffic();
    expect(traffic?.isWhole).toBe(true);
    expect(flags.some((flag) => flag.startsWith('-f '))).toBe(true);
    expect(Object.fromEntries(traffic?.counts ?? [])).toEqual(
      Object.fromEntries(
        flags.map((flag, i) => [
          `service ${NAMES[flag] ?? flag}`,
          { connections: i + 1, packetsIn: 10, packetsOut: 9, bytesIn: 1_000, bytesOut: 2 ** 40 },
        ]),
      ),
    );
    for (const id of traffic?.counts.keys() ?? []) expect(reconciler.ownerOf(id), id).toBe('ns/web:p/TCP');
  });

  it('of others is nobody’s, and of the other family is not read', async () => {
    const kernel = newKernel();
    const { reconciler, sync } = start(kernel, 'IPv4');
    await sync([LOCAL]);
    const theirs = Ipvs.open(kernel.sockets.ipvs.open());
    theirs.execute([
      newService({ protocol: 'TCP', address: '192.0.2.1', port: 80 }, PLAIN),
      newService({ protocol: 'TCP', address: 'fd00::1', port: 80 }, PLAIN),
      newService({ fwmark: 7, family: 'IPv6' }, PLAIN),
    ]);
    const ids = [...((await reconciler.traffic())?.counts.keys() ?? [])];
    expect(ids.filter((id) => reconciler.ownerOf(id) === undefined)).toEqual(['service -t 192.0.2.1:80']);
  });

  it('is told not to be whole where we wrote while it was read', async () => {
    const { handles } = newKernel().open();
    const slow = (meanwhile: () => void): Handles => ({
      ...handles,
      open: {
        ...handles.open,
        ipvs: () =>
          Object.assign(Object.create(handles.open.ipvs()) as Ipvs, {
            visitServices: async () => meanwhile(),
            close: () => undefined,
          }),
      },
    });
    const write = (): void => void handles.ipvs.execute([newService({ fwmark: 7, family: 'IPv4' }, PLAIN)]);
    expect((await readTraffic(slow(write), 'IPv4', new PacketMarks(SETTINGS.marks))).isWhole).toBe(false);
    expect(
      (
        await readTraffic(
          slow(() => undefined),
          'IPv4',
          new PacketMarks(SETTINGS.marks),
        )
      ).isWhole,
    ).toBe(true);
  });
});
