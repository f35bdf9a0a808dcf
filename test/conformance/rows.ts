/**
 * The words of the conformance table: rows, probes, steps, and who is who in them.
 *
 * An expectation lists the endpoints that are reached, `:8081` where an endpoint listens on its second port, `+m` where
 * it sees this node as the source instead of the sender; or it says what becomes of the packet instead.
 */
import type { AddressName, Destination, EndpointSpec, HostName, PodName, ServiceSpec } from './world.ts';

export type Server = PodName | `${PodName}:8081`;
export type Reached = Server | `${Server}+m`;
/** Any of these at first, and then always the same. */
export interface Sticky {
  readonly sticksTo: readonly Reached[];
}
/** `untouched`: no business of ours, so that nobody answers. */
export type Expected = readonly Reached[] | Sticky | 'refused' | 'dropped' | 'untouched';

export interface Probe {
  readonly from: HostName;
  readonly to: Destination;
  readonly expect: Expected;
}

/** Settings of the proxy, by flag name. */
export type Flags = Readonly<Record<string, string>>;

/** A later state of a row. What it does not name stays as it was. */
export interface Step {
  readonly name: string;
  readonly service?: ServiceSpec | 'deleted';
  readonly rival?: ServiceSpec | 'deleted';
  readonly probes: readonly Probe[];
}

export interface Row {
  readonly name: string;
  readonly service: ServiceSpec;
  /** A second Service, which wants something of the first one's. */
  readonly rival?: ServiceSpec;
  readonly probes: readonly Probe[];
  readonly steps?: readonly Step[];
  readonly flags?: Flags;
  /** The node's label; za unless said. */
  readonly zone?: 'za' | 'none';
}

/** Two on this node, two on the other one. */
export const L1: EndpointSpec = { on: 'pod1' };
export const L2: EndpointSpec = { on: 'pod2' };
export const R1: EndpointSpec = { on: 'remote1' };
export const R2: EndpointSpec = { on: 'remote2' };

export const draining = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, state: 'draining' });
export const terminating = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, state: 'terminating' });
export const unready = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, state: 'unready' });
export const inSlice = (slice: string, endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, slice });
/** Slices whose port of the same name has another number. */
export const onSecondPort = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, slice: '2', port: 8081 });
export const hinted = (endpoint: EndpointSpec, zones: readonly string[], nodes?: readonly string[]): EndpointSpec => ({
  ...endpoint,
  zones,
  ...(nodes === undefined ? {} : { nodes }),
});

export const from = (host: HostName, to: Destination, expect: Expected): Probe => ({ from: host, to, expect });
export const sticksTo = (...reached: readonly Reached[]): Sticky => ({ sticksTo: reached });

export const ALL_WAYS = { nodePort: true, externalIP: true, vip: true } as const;
/** All that is not the ClusterIP. */
export const WAYS_IN = ['external', 'vip', 'node-port'] as const;
export const LOCAL = { externalTrafficPolicy: 'Local' } as const;
export const INTERNAL_LOCAL = { internalTrafficPolicy: 'Local' } as const;

export const toAll = (
  host: HostName,
  destinations: readonly (AddressName | 'node-port')[],
  expect: Expected,
): readonly Probe[] => destinations.map((to) => from(host, to, expect));
