/** The conformance table with real packets: which rows run together, and how a probe is checked. */
import { expect } from 'vitest';
import { summarize } from '../../src/lab/network/summary.ts';
import type { Bench } from '../kernel/cluster.ts';
import { DEFAULT_FLAGS, type Flags, type Probe, ROWS, type Row } from './table.ts';
import { ADDRESSES, destinationOf, objectsOf, POD_GATEWAY, type Variant } from './world.ts';

/** How often, and for how long at most. */
export interface Patience {
  /** To see each of the endpoints. */
  readonly tries: number;
  /** Silence is expected: there is no use in waiting long for it, or often. */
  readonly silentMs: number;
  /** A TCP refusal over IPv6 comes with the second SYN, a second later: see the lab's agent. */
  readonly refusedMs: number;
}

export interface Group {
  readonly flags: Flags;
  readonly rows: readonly Row[];
}

/** Rows that run under the same flags. */
export const groups: readonly Group[] = (() => {
  const byFlags = new Map<string, { flags: Flags; rows: Row[] }>();
  for (const row of ROWS) {
    const flags = { ...DEFAULT_FLAGS, ...row.flags };
    const key = JSON.stringify(flags);
    const group = byFlags.get(key) ?? { flags, rows: [] };
    group.rows.push(row);
    byFlags.set(key, group);
  }
  return [...byFlags.values()];
})();

export interface Case {
  readonly row: Row;
  readonly variant: Variant;
  readonly title: string;
}

/**
 * Rows in each variant, numbered so that no two Services of a whole run share an address or a port: a UDP flow outlives its
 * Service, and would be taken for one of the next Service there.
 */
export const numberedCases = (): ((
  rows: readonly Row[],
  variants: readonly Pick<Variant, 'family' | 'protocol'>[],
) => readonly Case[]) => {
  let used = 0;
  return (rows, variants) =>
    variants.flatMap((variant) =>
      rows.map((row) => {
        used += 1;
        return { row, variant: { ...variant, number: used }, title: row.name };
      }),
    );
};

const FIRST_BARRIER = 251;

/**
 * A Service a family that comes after all others: objects arrive as events, so whatever was put before is in the kernel
 * when these answer.
 */
export const barriers: readonly Variant[] = (['IPv4', 'IPv6'] as const).map((family, i) => ({
  family,
  protocol: 'TCP',
  number: FIRST_BARRIER + i,
}));

export const barrierObjects = barriers.flatMap((variant) =>
  objectsOf(`barrier-${variant.family.toLowerCase()}`, { endpoints: [{ on: 'pod2' }] }, variant),
);

export const check = async (
  { lab }: Bench,
  probe: Probe,
  variant: Variant,
  { tries, silentMs, refusedMs }: Patience,
): Promise<void> => {
  const { host, port } = destinationOf(probe.to, variant);
  const protocol = variant.protocol === 'UDP' ? ('udp' as const) : ('tcp' as const);
  const isSilent = probe.expect === 'dropped' || probe.expect === 'untouched';
  const silent = { tries: 3, timeoutMs: silentMs };
  const refused = { tries: 4, timeoutMs: refusedMs };
  const agent = await lab.agent(probe.from);
  const outcomes = await agent.probe({
    protocol,
    host,
    port,
    ...(isSilent ? silent : probe.expect === 'refused' ? refused : { tries }),
  });
  const { servers, failures } = summarize(outcomes);
  const what = `${probe.from} to ${probe.to} ${host}:${port}`;
  if (probe.expect === 'untouched') return expect(servers, what).toEqual({});
  if (typeof probe.expect === 'string') {
    const failure = probe.expect === 'refused' ? 'refused' : 'timeout';
    return expect({ servers, failures: Object.keys(failures) }, what).toEqual({ servers: {}, failures: [failure] });
  }
  const wanted = probe.expect.map((reached) => reached.split('+')[0] ?? '');
  expect({ servers: Object.keys(servers), failures }, what).toEqual({ servers: [...wanted].sort(), failures: {} });
  const own = [ADDRESSES.node1[variant.family], POD_GATEWAY[variant.family]];
  for (const outcome of outcomes) {
    if (outcome.kind !== 'answer') continue;
    const masqueraded = probe.expect.includes(`${outcome.server as 'pod1'}+m`);
    const sources = masqueraded || probe.from === 'node1' ? own : [ADDRESSES[probe.from][variant.family]];
    expect(sources, `${what}: the source that ${outcome.server} saw`).toContain(outcome.client.address);
  }
};
