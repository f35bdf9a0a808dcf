/**
 * EndpointSlices to the endpoints of each service port: reading, merging several slices, dropping duplicates.
 *
 * Slice ports match service ports by (name, protocol), never by number. Only the first address of an endpoint counts
 * (the API says the others are the same endpoint). Unset conditions mean ready and serving (discovery.k8s.io/v1).
 */

import { familyOf, IP_FAMILIES, type IPFamily, joinHostPort, parseIP } from './address.ts';
import { excerpt } from './excerpt.ts';
import {
  Malformed,
  objectKey,
  type Protocol,
  readArray,
  readMeta,
  readProtocol,
  readString,
  textAt,
} from './kubernetes.ts';
import { compareText } from './order.ts';

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  /** True on this node. */
  readonly isLocal: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

interface SlicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

interface SliceEndpoint extends Omit<Endpoint, 'port' | 'isLocal'> {
  readonly nodeName: string;
}

/** EndpointSlice as far as a proxy needs it. */
export interface Slice {
  readonly key: string;
  /** `ns/name` of the slice's Service. */
  readonly service: string;
  /** Undefined for FQDN slices, which a proxy ignores. */
  readonly family: IPFamily | undefined;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Annotation endpoints.kubernetes.io/last-change-trigger-time in milliseconds; undefined when absent. */
  readonly triggeredAt: number | undefined;
}

const SERVICE_LABEL = 'kubernetes.io/service-name';
const TRIGGER_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';
const NO_HINTS: readonly string[] = [];

/** Service `ns/name` of an EndpointSlice; undefined for a slice without the label. Throws Malformed without a name. */
export const readServiceOf = (raw: unknown): string | undefined => {
  const meta = readMeta(raw, 'EndpointSlice');
  const service = textAt(meta.labels, SERVICE_LABEL);
  return service === '' ? undefined : `${meta.namespace}/${service}`;
};

/** Reads an EndpointSlice; undefined for one without a Service. Throws Malformed naming the field. */
export const readSlice = (raw: unknown): Slice | undefined => {
  const service = readServiceOf(raw);
  if (service === undefined) return undefined;
  const meta = readMeta(raw, 'EndpointSlice');
  const slice = raw as Record<string, unknown>;
  const addressType = readString(slice.addressType, 'addressType');
  const family = IP_FAMILIES.find((candidate) => candidate === addressType);
  const triggered = Date.parse(textAt(meta.annotations, TRIGGER_ANNOTATION));
  return {
    key: objectKey(meta),
    service,
    family,
    ports: family === undefined ? [] : readSlicePorts(slice),
    endpoints: family === undefined ? [] : readSliceEndpoints(slice, family),
    triggeredAt: Number.isNaN(triggered) ? undefined : triggered,
  };
};

/** Ports of a slice without those that have no number ("all ports" in the API), of which a proxy has no use. */
const readSlicePorts = (slice: Record<string, unknown>): readonly SlicePort[] =>
  readArray(slice.ports, 'ports').flatMap((entry, i) => {
    const port = (entry ?? {}) as Record<string, unknown>;
    if (port.port === undefined || port.port === null || port.port === 0) return [];
    if (!Number.isInteger(port.port) || Number(port.port) < 1 || Number(port.port) > 65_535) {
      throw new Malformed(`ports[${i}].port must be a port from 1 to 65535, not ${excerpt(port.port)}`);
    }
    const name = readString(port.name, `ports[${i}].name`);
    return [{ name, protocol: readProtocol(port.protocol, `ports[${i}].protocol`), port: Number(port.port) }];
  });

const readSliceEndpoints = (slice: Record<string, unknown>, family: IPFamily): readonly SliceEndpoint[] =>
  readArray(slice.endpoints, 'endpoints').flatMap((entry, i) => {
    const endpoint = (entry ?? {}) as Record<string, unknown>;
    const address = readArray(endpoint.addresses, `endpoints[${i}].addresses`)[0];
    if (address === undefined) return [];
    const ip = typeof address === 'string' ? parseIP(address) : undefined;
    if (ip === undefined || familyOf(ip) !== family) {
      throw new Malformed(`endpoints[${i}].addresses[0]: ${excerpt(address)} is not an ${family} address`);
    }
    const conditions = (endpoint.conditions ?? {}) as Record<string, unknown>;
    const hints = (endpoint.hints ?? {}) as Record<string, unknown>;
    return [
      {
        ip,
        nodeName: readString(endpoint.nodeName, `endpoints[${i}].nodeName`),
        ready: conditions.ready !== false,
        serving: conditions.serving !== false,
        terminating: conditions.terminating === true,
        zoneHints: readHints(hints.forZones, `endpoints[${i}].hints.forZones`),
        nodeHints: readHints(hints.forNodes, `endpoints[${i}].hints.forNodes`),
      },
    ];
  });

const readHints = (value: unknown, path: string): readonly string[] => {
  if (value === undefined || value === null) return NO_HINTS;
  return readArray(value, path).map((hint) => readString((hint as { name?: unknown } | null)?.name, path));
};

/**
 * Endpoints of one service port out of all slices of its Service, without duplicates, sorted by `ip:port`.
 *
 * An address is in two slices while the controller moves it: the endpoint that is not terminating is taken, then the ready
 * one, then that of the slice first by name. So the result does not depend on the order in which slices arrived.
 */
export const mergeSlices = (
  slices: Iterable<Slice>,
  port: { readonly name: string; readonly protocol: Protocol; readonly family: IPFamily },
  nodeName: string,
): readonly Endpoint[] => {
  const merged = new Map<string, Endpoint>();
  for (const slice of [...slices].sort((a, b) => compareText(a.key, b.key))) {
    if (slice.family !== port.family) continue;
    for (const { name, protocol, port: number } of slice.ports) {
      if (name !== port.name || protocol !== port.protocol) continue;
      for (const { nodeName: on, ...endpoint } of slice.endpoints) {
        const key = joinHostPort(endpoint.ip, number);
        const candidate = { ...endpoint, port: number, isLocal: on !== '' && on === nodeName };
        const known = merged.get(key);
        if (known === undefined || rank(candidate) > rank(known)) merged.set(key, candidate);
      }
    }
  }
  return [...merged].sort(([a], [b]) => compareText(a, b)).map(([, endpoint]) => endpoint);
};

const rank = (endpoint: Endpoint): number => (endpoint.terminating ? 0 : 2) + (endpoint.ready ? 1 : 0);
