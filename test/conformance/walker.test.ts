/** The conformance table in the packet walker: every row, family and protocol, without root. */
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { normalizeArgv } from '../../src/config/argv.ts';
import { addFlags, readFlags } from '../../src/config/flags.ts';
import { loadConfig } from '../../src/config/load.ts';
import { nodeOptions } from '../../src/config/node-options.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { Walker } from '../backends/iptables/walker.ts';
import { DEFAULT_FLAGS, type Flags, type Probe, ROWS, type Row } from './table.ts';
import { ADDRESSES, destinationOf, NODE_OBJECT, objectsOf, POD_GATEWAY, TARGET_PORT, type Variant } from './world.ts';

const optionsOf = async (flags: Flags) => {
  const command = new Command();
  addFlags(command);
  const argv = Object.entries({ ...DEFAULT_FLAGS, ...flags }).map(([name, value]) => `--${name}=${value}`);
  command.parse([...normalizeArgv(argv)], { from: 'user' });
  return nodeOptions((await loadConfig({ flags: readFlags(command) })).config, 'node1');
};

const walkerFor = async (row: Row, variant: Variant): Promise<Walker> => {
  const local = [ADDRESSES.node1[variant.family], POD_GATEWAY[variant.family]];
  const tracker = new Tracker({ node: await optionsOf(row.flags ?? {}), interfaceAddresses: () => local });
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
  const { sections, problems } = compileAll(iptablesBackend({ family: variant.family }), tracker.take(variant.family));
  expect(problems).toEqual([]);
  return new Walker(
    sections.flatMap(({ objects: all }) => all),
    local,
  );
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

const VARIANTS = (['IPv4', 'IPv6'] as const).flatMap((family) =>
  (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({ family, protocol, number: 7 })),
);

describe.each(VARIANTS)('$family $protocol through iptables chains', (variant) => {
  it.each(ROWS)('$name', async (row) => {
    const walker = await walkerFor(row, variant);
    for (const probe of row.probes) {
      const to = destinationOf(probe.to, variant);
      const source = ADDRESSES[probe.from][variant.family];
      const protocol = variant.protocol.toLowerCase() as 'tcp';
      const { outcomes } = walker.walk({
        source,
        destination: to.host,
        protocol,
        port: to.port,
        inInterface: interfaceOf(probe.from),
      });
      expect(outcomes, `${probe.from} to ${probe.to}`).toEqual(expectedOf(probe, variant, to));
    }
  });
});
