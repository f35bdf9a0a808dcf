/** One probe of the conformance table with real packets: how it is sent, and what has to come of it. */
import { expect } from 'vitest';
import type { ProbeOutcome } from '../../src/lab/network/outcome.ts';
import { formatSummary, summarize } from '../../src/lab/network/summary.ts';
import type { Bench } from '../kernel/cluster.ts';
import type { Probe, Reached } from './rows.ts';
import {
  ADDRESSES,
  destinationOf,
  type HostName,
  POD_GATEWAY,
  type PodName,
  protocolTo,
  SECOND_TARGET_PORT,
  type Variant,
} from './world.ts';

/** For how long at most. */
export interface Patience {
  readonly answerMs: number;
  /** Silence is expected: there is no use in waiting long for it. */
  readonly silentMs: number;
  /** A TCP refusal over IPv6 comes with the second SYN, a second later: see the lab's agent. */
  readonly refusedMs: number;
}

/** At once, by one probe. */
const TRIES = 12;
/** A hundred and forty-four tries miss one of five endpoints once in 10^13 probes. */
const MOST_ROUNDS = 12;
const FEW_TRIES = 2;

const SERVERS: readonly PodName[] = ['pod1', 'pod2', 'remote1', 'remote2'];

/** Every pod with a server has one on its second port as well, which says so. */
export const serveSecondPorts = async ({ lab }: Bench): Promise<void> => {
  const port = SECOND_TARGET_PORT;
  for (const pod of SERVERS) {
    const agent = await lab.agent(pod);
    for (const protocol of ['tcp', 'udp'] as const) await agent.serve({ protocol, port, name: `${pod}:${port}` });
  }
};

/** Whether a probe only waits: many of those can be under way at once. */
export const isWaiting = ({ expect: expected }: Probe): boolean => typeof expected === 'string';

type Try = (tries: number, timeoutMs: number) => Promise<readonly ProbeOutcome[]>;

/** Above whatever a host of the lab listens on. */
const FIRST_LOCAL_PORT = 11_000;
const LAST_LOCAL_PORT = 65_535;
const latestLocalPorts = new Map<HostName, number>();

/**
 * Each of a host's comes once in a run, so that no try meets the flow of an earlier one. The kernel would take a port again
 * for another destination, and IPVS confuses two flows of one port to one endpoint for as long as it remembers both.
 */
const nextLocalPort = (host: HostName): number => {
  const port = (latestLocalPorts.get(host) ?? FIRST_LOCAL_PORT - 1) + 1;
  if (port > LAST_LOCAL_PORT) throw new Error(`${host} has no port left that it has not sent from`);
  latestLocalPorts.set(host, port);
  return port;
};

export const check = async ({ lab }: Bench, probe: Probe, variant: Variant, patience: Patience): Promise<void> => {
  const { host, port } = destinationOf(probe.to, variant);
  const protocol = protocolTo(probe.to, variant) === 'UDP' ? ('udp' as const) : ('tcp' as const);
  const agent = await lab.agent(probe.from);
  const target = { protocol, host, port };
  const attempt: Try = async (tries, timeoutMs) => {
    const each = Array.from({ length: tries }, () =>
      agent.probe({ ...target, tries: 1, timeoutMs, localPort: nextLocalPort(probe.from) }),
    );
    return (await Promise.all(each)).flat();
  };
  const what = `${probe.from} to ${probe.to} ${host}:${port}/${protocol}`;
  const { expect: expected } = probe;
  if (expected === 'untouched') await nobodyAnswers(attempt, patience, what);
  else if (typeof expected === 'string') await fails(attempt, expected, patience, what);
  else if ('sticksTo' in expected)
    sawSource(await sticks(attempt, expected.sticksTo, patience, what), probe, variant, what);
  else sawSource(await reachesAll(attempt, expected, patience, what), probe, variant, what);
};

const nobodyAnswers = async (attempt: Try, { silentMs }: Patience, what: string): Promise<void> => {
  expect(summarize(await attempt(FEW_TRIES, silentMs)).servers, what).toEqual({});
};

const fails = async (
  attempt: Try,
  how: 'refused' | 'dropped',
  { silentMs, refusedMs }: Patience,
  what: string,
): Promise<void> => {
  const { servers, failures } = summarize(await attempt(FEW_TRIES, how === 'refused' ? refusedMs : silentMs));
  const failure = how === 'refused' ? 'refused' : 'timeout';
  expect({ servers, failures: Object.keys(failures) }, what).toEqual({ servers: {}, failures: [failure] });
};

const serverOf = (reached: Reached): string => reached.split('+')[0] ?? '';

const reachesAll = async (
  attempt: Try,
  expected: readonly Reached[],
  { answerMs }: Patience,
  what: string,
): Promise<readonly ProbeOutcome[]> => {
  const wanted = expected.map(serverOf).sort();
  const outcomes: ProbeOutcome[] = [];
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    outcomes.push(...(await attempt(TRIES, answerMs)));
    const { servers, failures } = summarize(outcomes);
    if (Object.keys(failures).length > 0 || wanted.every((server) => server in servers)) break;
  }
  const summary = summarize(outcomes);
  const { servers, failures } = summary;
  expect({ servers: Object.keys(servers), failures }, `${what}: ${formatSummary(summary)}`).toEqual({
    servers: wanted,
    failures: {},
  });
  return outcomes;
};

/** One call alone comes first, as several at once may be given one endpoint each. */
const sticks = async (
  attempt: Try,
  expected: readonly Reached[],
  { answerMs }: Patience,
  what: string,
): Promise<readonly ProbeOutcome[]> => {
  const outcomes = [...(await attempt(1, answerMs)), ...(await attempt(TRIES, answerMs))];
  const { servers, failures } = summarize(outcomes);
  expect(failures, what).toEqual({});
  expect(Object.keys(servers), what).toHaveLength(1);
  expect(expected.map(serverOf), what).toContain(Object.keys(servers)[0]);
  return outcomes;
};

/** Who answered has seen the sender, or this node where it is to be masqueraded. */
const sawSource = (outcomes: readonly ProbeOutcome[], probe: Probe, { family }: Variant, what: string): void => {
  const { from, expect: expected } = probe;
  if (typeof expected === 'string') return;
  const reached = 'sticksTo' in expected ? expected.sticksTo : expected;
  const own = [ADDRESSES.node1[family], POD_GATEWAY[family]];
  for (const outcome of outcomes) {
    if (outcome.kind !== 'answer') continue;
    const isMasqueraded = reached.some((one) => one === `${outcome.server}+m`);
    const sources = isMasqueraded || from === 'node1' ? own : [ADDRESSES[from][family]];
    expect(sources, `${what}: the source that ${outcome.server} saw`).toContain(outcome.client.address);
  }
};
