/** The conformance table in the packet walkers: every row with its steps, in each family and protocol, without root. */
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import type { DesiredIptablesObject } from '../../src/backends/iptables/objects.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import type { NftObject } from '../../src/backends/nftables/objects.ts';
import type { NftPayload } from '../../src/backends/nftables/plan.ts';
import type { KernelObject } from '../../src/dataplane/contract.ts';
import type { IPFamily } from '../../src/model/address.ts';
import { Walker } from '../backends/iptables/walker.ts';
import { commandsIn, Walker as NftWalker } from '../backends/nftables/walker.ts';
import { probesIn, rowTitleOf } from './play.ts';
import { ROWS } from './table.ts';
import { type WalkedBackend, walkRow } from './walk.ts';

const VARIANTS = (['IPv4', 'IPv6'] as const).flatMap((family) =>
  (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({ family, protocol, number: 7 })),
);
const TOTAL = probesIn(ROWS) * VARIANTS.length;

const walkTests = <O extends KernelObject, B>(title: string, of: (family: IPFamily) => WalkedBackend<O, B>): void => {
  describe(title, () => {
    let walked = 0;
    describe.each(VARIANTS)('$family $protocol', (variant) => {
      const backend = of(variant.family);
      const rows = ROWS.map((row) => ({ row, title: rowTitleOf(row, backend.name, variant.family) }));
      it.each(rows)('$title', async ({ row }) => {
        walked += await walkRow(backend, row, variant);
      });
    });
    it(`${TOTAL} of ${TOTAL} probes`, () => {
      expect(walked).toBe(TOTAL);
    });
  });
};

walkTests('through iptables chains', (family) => ({
  name: 'iptables',
  backend: iptablesBackend({ family }),
  flags: {},
  walkThrough: (objects: readonly DesiredIptablesObject[], localAddresses) => {
    const walker = new Walker(objects, localAddresses);
    return (packet) => walker.walk(packet).outcomes;
  },
}));

const throughMaps = (family: IPFamily, counts: boolean): WalkedBackend<NftObject, NftPayload> => {
  const backend = nftablesBackend({ family, counts });
  return {
    name: 'nftables',
    backend,
    // in this mode NodePorts answer on the node's first address only, unless they are told otherwise
    flags: { 'proxy-mode': 'nftables', 'nodeport-addresses': '0.0.0.0/0,::/0' },
    walkThrough: (objects: readonly NftObject[], localAddresses) => {
      const json = backend.printJson?.([{ title: 'all', objects }]) ?? '';
      const walker = new NftWalker(commandsIn(json), localAddresses);
      return (packet) => walker.walk(packet).outcomes;
    },
  };
};

walkTests('through nftables maps', (family) => throughMaps(family, false));

walkTests('through nftables maps, with traffic counted', (family) => throughMaps(family, true));
