/** Everything that explains one Service on this node, as data: what was decided, by whom, and why not otherwise. Pure. */
import type { Backend, KernelObject } from '../dataplane/contract.ts';
import type { Dispute } from '../dataplane/desired.ts';
import type { Compiled } from '../dataplane/report.ts';
import { type IPFamily, joinHostPort } from '../model/address.ts';
import { type Endpoint, mergeSlices, readSlice, type Slice } from '../model/endpoint.ts';
import { Malformed, objectKey, readMeta } from '../model/kubernetes.ts';
import type { NodeContext } from '../model/node.ts';
import { isExternallyAccessible, ownerOf, readService, type Service, type ServicePort } from '../model/service.ts';
import {
  type Condition,
  chooseFromCluster,
  chooseLocal,
  type EndpointChoice,
  failedBy,
  type HintsIgnored,
  type NodeTopology,
  type ServiceEndpoints,
} from '../model/topology.ts';
import { type TrafficRow, trafficOf } from '../model/traffic.ts';
import type { Snapshot } from '../sources/snapshot.ts';

/** A Service as it is asked for: `ns/name`, and perhaps one of its ports. */
export interface Asked {
  readonly service: string;
  /** Undefined = all of them. */
  readonly port: string | undefined;
}

/** A kind of traffic that an endpoint may take; the external kinds are apart where the policy parts them. */
export type Kind = 'cluster-ip' | 'external' | 'external-from-outside' | 'external-from-inside';

export interface EndpointStory {
  readonly endpoint: Endpoint;
  /** For each kind of traffic what keeps the endpoint from it; undefined = it takes its share. */
  readonly traffic: readonly { readonly kind: Kind; readonly failedBy: Condition['is'] | undefined }[];
}

export interface PortStory {
  readonly owner: string;
  readonly port: ServicePort;
  readonly endpoints: readonly EndpointStory[];
  /** Hints that were there and not followed, with the reason. */
  readonly hintsIgnored: { readonly node: HintsIgnored | undefined; readonly zone: HintsIgnored | undefined };
  /** Slices of this family that have the port, and the ports of those that have not. */
  readonly slices: { readonly used: readonly string[]; readonly otherPorts: readonly string[] };
  readonly traffic: readonly TrafficRow[];
  readonly disputes: readonly Dispute[];
  readonly notes: readonly string[];
  /** Why there are no rules, where there are none. */
  readonly problem: string | undefined;
  readonly rules: readonly { readonly id: string; readonly kind: string; readonly text: string }[];
}

export interface FamilyStory {
  readonly family: IPFamily;
  readonly node: NodeContext;
  readonly ports: readonly PortStory[];
}

/** One family's part in it. */
export interface FamilyView {
  readonly backend: Pick<Backend<KernelObject, unknown>, 'format'>;
  readonly compiled: Compiled<KernelObject>;
  readonly node: NodeContext;
  readonly services: readonly ServiceEndpoints[];
}

export const findObject = (objects: readonly unknown[], key: string): unknown =>
  objects.find((object) => keyOf(object) === key);

export const keyOf = (object: unknown): string | undefined => {
  try {
    return objectKey(readMeta(object, 'Service'));
  } catch {
    return undefined;
  }
};

/** The Service, or why it cannot be read. */
export const serviceIn = (object: unknown): Service | Malformed => orMalformed(() => readService(object));

const orMalformed = <T>(read: () => T): T | Malformed => {
  try {
    return read();
  } catch (error) {
    if (error instanceof Malformed) return error;
    throw error;
  }
};

/** Slices of a Service, as far as they can be read. */
export const slicesOf = (objects: Snapshot, service: string): readonly Slice[] =>
  objects.EndpointSlice.flatMap((object) => {
    const slice = orMalformed(() => readSlice(object));
    return slice === undefined || slice instanceof Malformed || slice.service !== service ? [] : [slice];
  });

/** Every port of the Service in this family that was asked for. */
export const familyStory = (asked: Asked, slices: readonly Slice[], view: FamilyView): FamilyStory => {
  const { node, services } = view;
  const own = services.filter(({ port: { name } }) => objectKey(name) === asked.service);
  const wanted = own.filter(({ port: { name } }) => asked.port === undefined || name.port === asked.port);
  return {
    family: node.family,
    node,
    ports: wanted.map((service) => portStory(service, slices, view)),
  };
};

const portStory = (service: ServiceEndpoints, slices: readonly Slice[], view: FamilyView): PortStory => {
  const { port } = service;
  const { node, backend, compiled } = view;
  const owner = ownerOf(port.name);
  const wanted = { name: port.name.port, protocol: port.name.protocol, family: node.family };
  const ofFamily = slices.filter(({ family }) => family === node.family);
  const [used, others] = [
    ofFamily.filter((slice) => hasPort(slice, wanted)),
    ofFamily.filter((slice) => !hasPort(slice, wanted)),
  ];
  const fragment = compiled.state.desired.fragment(owner);
  return {
    owner,
    port,
    ...endpointStories(port, mergeSlices(slices, wanted, node.name), { nodeName: node.name, zone: node.zone }),
    slices: {
      used: used.map(({ key }) => key),
      otherPorts: others.flatMap(({ ports }) =>
        ports.map(({ name, protocol }) => `${name || '(no name)'}/${protocol}`),
      ),
    },
    traffic: trafficOf(service, node),
    disputes: compiled.state.desired.disputes(owner),
    notes: fragment?.notes ?? [],
    problem: compiled.problems.find((problem) => problem.owner === owner)?.message,
    rules: (fragment?.objects ?? []).map((object) => ({
      id: object.id,
      kind: object.kind,
      text: backend.format(object),
    })),
  };
};

const hasPort = ({ ports }: Slice, wanted: { readonly name: string; readonly protocol: string }): boolean =>
  ports.some(({ name, protocol }) => name === wanted.name && protocol === wanted.protocol);

const endpointStories = (
  port: ServicePort,
  endpoints: readonly Endpoint[],
  place: NodeTopology,
): Pick<PortStory, 'endpoints' | 'hintsIgnored'> => {
  const cluster = chooseFromCluster(endpoints, place);
  const choices = choicesFor(port, cluster, chooseLocal(endpoints));
  const stories = endpoints.map((endpoint) => ({
    endpoint,
    traffic: choices.map(([kind, choice]) => ({ kind, failedBy: failedBy(choice, endpoint) })),
  }));
  const isClusterAsked = choices.some(([, choice]) => choice === cluster);
  const has = (hints: (endpoint: Endpoint) => readonly string[]): boolean =>
    isClusterAsked && endpoints.some((one) => hints(one).length > 0);
  const { node, zone } = cluster.ignored;
  return {
    endpoints: stories,
    hintsIgnored: {
      node: has(({ nodeHints }) => nodeHints) ? node : undefined,
      zone: has(({ zoneHints }) => zoneHints) ? zone : undefined,
    },
  };
};

const choicesFor = (
  port: ServicePort,
  cluster: EndpointChoice,
  local: EndpointChoice,
): readonly (readonly [Kind, EndpointChoice])[] => {
  const internal = ['cluster-ip', port.internalPolicyLocal ? local : cluster] as const;
  if (!isExternallyAccessible(port)) return [internal];
  if (!port.externalPolicyLocal) return [internal, ['external', cluster]];
  return [internal, ['external-from-outside', local], ['external-from-inside', cluster]];
};

/** `10.0.0.1:80`. */
export const addressOf = ({ ip, port }: Endpoint): string => joinHostPort(ip, port);
