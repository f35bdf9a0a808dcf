/** What is said of calls, against the table of what every backend has to do with real packets. */
import { describe, expect, it } from 'vitest';
import { Tracker } from '../../src/model/tracker.ts';
import { type Caller, type TrafficRow, trafficOf } from '../../src/model/traffic.ts';
import { optionsOf } from '../cases/program.ts';
import { objectsIn, statesOf } from '../conformance/play.ts';
import type { Expected, Probe, Row } from '../conformance/rows.ts';
import { DEFAULT_FLAGS, ROWS } from '../conformance/table.ts';
import { ADDRESSES, type HostName, nodeIn, SECOND_TARGET_PORT, type Variant } from '../conformance/world.ts';

const VARIANT: Variant = { family: 'IPv4', protocol: 'TCP', number: 7 };
const CALLER: Partial<Record<HostName, Caller>> = {
  pod1: 'pod',
  pod2: 'pod',
  pod3: 'pod',
  node1: 'node',
  node2: 'outside',
  outside: 'outside',
};
const SORTS: Partial<Record<Probe['to'], TrafficRow['to']>> = {
  cluster: 'cluster-ip',
  external: 'external',
  vip: 'external',
  'node-port': 'external',
};

/** `pod1+m`, `remote1:8081`, as in the table; the node's own address is what a call of its own has anyway. */
const reached = ({ endpoints, outcome, seenAs }: TrafficRow, from: HostName): Expected => {
  if (outcome !== 'served') return outcome;
  return endpoints
    .map(({ ip, port }): string => {
      const pod = Object.entries(ADDRESSES).find(([, addresses]) => addresses.IPv4 === ip)?.[0] ?? ip;
      // a pod that reaches itself is masqueraded whoever it is
      const isMasqueraded = from !== 'node1' && (seenAs === 'node' || pod === from);
      return `${pod}${port === SECOND_TARGET_PORT ? `:${port}` : ''}${isMasqueraded ? '+m' : ''}`;
    })
    .sort() as never;
};

const wanted = ({ from, expect: expected }: Probe): Expected => {
  if (typeof expected === 'string') return expected;
  const list = 'sticksTo' in expected ? expected.sticksTo : expected;
  return [...list].map((one) => (from === 'node1' ? one.replace('+m', '') : one)).sort() as never;
};

/** Who is kept out by source ranges, and what is none of a Service's business, is not told here. */
const isTold = (row: Row, probe: Probe, hasRanges: boolean): boolean =>
  row.rival === undefined &&
  CALLER[probe.from] !== undefined &&
  SORTS[probe.to] !== undefined &&
  probe.expect !== 'untouched' &&
  !(probe.to === 'vip' && hasRanges);

let told = 0;

describe('what becomes of a call is what the table of conformance says', () => {
  it.each(ROWS.map((row) => [row.name, row] as const))('%s', async (_, row) => {
    const options = await optionsOf({ ...DEFAULT_FLAGS, ...row.flags });
    for (const state of statesOf(row)) {
      const tracker = new Tracker({ node: options });
      const objects = objectsIn(state, 'row', VARIANT);
      for (const kind of ['Service', 'EndpointSlice'] as const) {
        tracker.replace(
          kind,
          objects.filter((object) => object.kind === kind),
        );
      }
      tracker.replace('ServiceCIDR', []);
      tracker.replace('Node', [nodeIn(row.zone === 'none' ? undefined : 'za')]);
      const { services, node } = tracker.take('IPv4');
      const service = services.find(({ port }) => port.name.port === 'p');
      const hasRanges = state.service?.hasRangesOfOtherFamily === true || service?.port.sourceRanges !== undefined;
      if (service === undefined) continue;
      const traffic = trafficOf(service, node);
      for (const probe of state.probes.filter((one) => isTold(row, one, hasRanges))) {
        // pods that cannot be told from others count as outside
        const callers: readonly (Caller | undefined)[] = [CALLER[probe.from], 'outside'];
        const said = callers.flatMap(
          (from) => traffic.find((one) => one.from === from && one.to === SORTS[probe.to]) ?? [],
        );
        const what = `${state.name}: ${probe.from} to ${probe.to}`;
        expect(said[0] && reached(said[0], probe.from), what).toEqual(wanted(probe));
        told += 1;
      }
    }
  });

  it('for most of the table', () => {
    expect(told).toBeGreaterThan(300);
  });
});
