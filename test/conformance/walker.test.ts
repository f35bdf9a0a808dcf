/** The conformance table in the packet walkers: every row, family and protocol, without root. */
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { normalizeArgv } from '../../src/config/argv.ts';
import { addFlags, readFlags } from '../../src/config/flags.ts';
import { loadConfig } from '../../src/config/load.ts';
import { nodeOptions } from '../../src/config/node-options.ts';
import type { Backend, KernelObject, Section } from '../../src/dataplane/contract.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { type Packet, Walker } from '../backends/iptables/walker.ts';
import { commandsIn, Walker as NftWalker } from '../backends/nftables/walker.ts';
import { DEFAULT_FLAGS, type Flags, type Probe, ROWS, type Row } from './table.ts';
import { ADDRESSES, destinationOf, NODE_OBJECT, objectsOf, POD_GATEWAY, TARGET_PORT, type Variant } from './world.ts';

const optionsOf = async (flags: Flags) => {
  const command = new Command();
  addFlags(command);
  const argv = Object.entries({ ...DEFAULT_FLAGS, ...flags }).map(([name, value]) => `--${name}=${value}`);
  command.parse([...normalizeArgv(argv)], { from: 'user' });
  return nodeOptions((await loadConfig({ flags: readFlags(command) })).config, 'node1');
};

const localOf = ({ family }: Variant): readonly string[] => [ADDRESSES.node1[family], POD_GATEWAY[family]];

/** What the row's Service becomes on this node. */
const sectionsFor = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  row: Row,
  variant: Variant,
  flags: Flags,
): Promise<readonly Section<O>[]> => {
  const local = localOf(variant);
  const node = await optionsOf({ ...flags, ...row.flags });
  const tracker = new Tracker({ node, interfaceAddresses: () => local });
  const objects = objectsOf('row', row.service, variant);
  tracker.replace('Node', [NODE_OBJECT]);
  tracker.replace('ServiceCIDR', []);
  for (const kind of ['Service', 'EndpointSlice'] as const) {
    tracker.replace(
      kind,
      objects.filter((object) => object.kind === kind),
    );
  }
  expect(tracker.problems).toEqual([]);
  const { sections, problems } = compileAll(backend, tracker.take(variant.family));
  expect(problems).toEqual([]);
  return sections;
};

const interfaceOf = (from: Probe['from']): string | undefined =>
  from === 'node1' ? undefined : from.startsWith('pod') ? 'cni0' : 'eth0';

const expectedOf = ({ expect: wanted }: Probe, variant: Variant, to: { host: string; port: number }): string[] => {
  const text = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
  if (wanted === 'untouched') return [text(to.host, to.port)];
  if (typeof wanted === 'string') return [wanted === 'refused' ? 'reject' : 'drop'];
  return wanted
    .map((reached) => {
      const [pod = '', masqueraded] = reached.split('+');
      const ip = ADDRESSES[pod as keyof typeof ADDRESSES][variant.family];
      return text(ip, TARGET_PORT) + (masqueraded === undefined ? '' : ' +m');
    })
    .sort();
};

const packetOf = ({ from, to }: Probe, variant: Variant): Packet => {
  const { host, port } = destinationOf(to, variant);
  return {
    source: ADDRESSES[from][variant.family],
    destination: host,
    protocol: variant.protocol.toLowerCase() as Packet['protocol'],
    port,
    inInterface: interfaceOf(from),
  };
};

const VARIANTS = (['IPv4', 'IPv6'] as const).flatMap((family) =>
  (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({ family, protocol, number: 7 })),
);

describe.each(VARIANTS)('$family $protocol through iptables chains', (variant) => {
  it.each(ROWS)('$name', async (row) => {
    const sections = await sectionsFor(iptablesBackend({ family: variant.family }), row, variant, {});
    const walker = new Walker(
      sections.flatMap(({ objects }) => objects),
      localOf(variant),
    );
    for (const probe of row.probes) {
      const { outcomes } = walker.walk(packetOf(probe, variant));
      const to = destinationOf(probe.to, variant);
      expect(outcomes, `${probe.from} to ${probe.to}`).toEqual(expectedOf(probe, variant, to));
    }
  });
});

/** In this mode NodePorts answer on the node's first address only, unless they are told otherwise. */
const NFTABLES_FLAGS = { 'proxy-mode': 'nftables', 'nodeport-addresses': '0.0.0.0/0,::/0' };

/** As in kube-proxy, an undefined port of a ClusterIP is refused in this mode: nobody else has that address. */
const inNftables = (probe: Probe): Probe =>
  probe.to === 'cluster, other port' && probe.expect === 'untouched' ? { ...probe, expect: 'refused' } : probe;

describe.each(VARIANTS)('$family $protocol through nftables maps', (variant) => {
  it.each(ROWS)('$name', async (row) => {
    const backend = nftablesBackend({ family: variant.family });
    const sections = await sectionsFor(backend, row, variant, NFTABLES_FLAGS);
    const walker = new NftWalker(commandsIn(backend.printJson?.(sections) ?? ''), localOf(variant));
    for (const probe of row.probes.map(inNftables)) {
      const { outcomes } = walker.walk(packetOf(probe, variant));
      const to = destinationOf(probe.to, variant);
      expect(outcomes, `${probe.from} to ${probe.to}`).toEqual(expectedOf(probe, variant, to));
    }
  });
});
