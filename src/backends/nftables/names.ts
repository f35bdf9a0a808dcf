/**
 * Names and keys of the table, its sets and maps. Names and types are kube-proxy's where it has the same, so that its table
 * is taken over in place.
 */
import type { IPFamily } from '../../model/address.ts';
import { concat, ct, meta, numgen, payload } from '../../nftables-json/construct.ts';
import type { Concat, Expression, Payload, SetDeclaration, Table, TypeName } from '../../nftables-json/schema.ts';

export type NftFamily = 'ip' | 'ip6';

export const TABLE = 'kube-proxy';

export const nftFamily = (family: IPFamily): NftFamily => (family === 'IPv4' ? 'ip' : 'ip6');

export const tableOf = (family: NftFamily): Table => ({ family, name: TABLE });

/** Key of a lookup: address, protocol and port of a Service, or protocol and port of the node. */
export type KeySpace = 'service' | 'nodePort';

export const KEY_SPACES: readonly KeySpace[] = ['service', 'nodePort'];

/** Sets of a key space. Maps of endpoints have an index (slot) behind the key, dense from 0 on. */
export interface KeySpaceSets {
  /** Verdict map: frontend → chain of a load-balancing class. */
  readonly verdicts: string;
  readonly endpoints: string;
  /** Verdict maps under external policy Local: for pods and the node, and for all other clients. */
  readonly insideVerdicts: string;
  readonly localVerdicts: string;
  readonly localEndpoints: string;
  /** Verdict map of frontends without endpoints: refused or dropped. */
  readonly refusals: string;
}

export const SETS: Readonly<Record<KeySpace, KeySpaceSets>> = {
  service: {
    verdicts: 'service-ips',
    endpoints: 'endpoints',
    insideVerdicts: 'inside-ips',
    localVerdicts: 'local-ips',
    localEndpoints: 'local-endpoints',
    refusals: 'no-endpoint-services',
  },
  nodePort: {
    verdicts: 'service-nodeports',
    endpoints: 'nodeport-endpoints',
    insideVerdicts: 'inside-nodeports',
    localVerdicts: 'local-nodeports',
    localEndpoints: 'local-nodeport-endpoints',
    refusals: 'no-endpoint-nodeports',
  },
};

export const CLUSTER_IPS = 'cluster-ips';
export const NODEPORT_IPS = 'nodeport-ips';
export const HAIRPIN = 'hairpin-connections';
/** Load-balancer IPs with source ranges, and the ranges. */
export const FIREWALL = 'firewall-ips';
export const SOURCE_RANGES = 'source-ranges';
/** Affinity map: client, address, protocol, port → endpoint. */
export const AFFINITY = 'affinity';

/** Sets of session affinity, whose number does not grow with the time-outs. */
export interface StickySets {
  /** Verdict map: frontend → chain that remembers clients for the frontend's time-out. */
  readonly timeouts: string;
  /** Frontends with their endpoints: clients are remembered with these only. */
  readonly endpoints: string;
  /** Frontends with endpoints that left, until no client is remembered with them. */
  readonly departed: string;
}

export const STICKY: Readonly<Record<KeySpace, StickySets>> = {
  service: { timeouts: 'sticky-ips', endpoints: 'sticky-endpoints', departed: 'departed-endpoints' },
  nodePort: {
    timeouts: 'sticky-nodeports',
    endpoints: 'sticky-nodeport-endpoints',
    departed: 'departed-nodeport-endpoints',
  },
};

/** Whether elements of this map mark frontends with session affinity. */
export const isStickyMap = (set: string): boolean => KEY_SPACES.some((space) => STICKY[space].timeouts === set);

export const source = (family: NftFamily): Payload => payload(family, 'saddr');
export const destination = (family: NftFamily): Payload => payload(family, 'daddr');
const PROTOCOL = meta('l4proto');
const PORT = payload('th', 'dport');

/** Key of a key space's maps, from a packet. */
export const packetKey = (space: KeySpace, family: NftFamily, ...more: readonly Expression[]): Concat =>
  space === 'service' ? concat(destination(family), PROTOCOL, PORT, ...more) : concat(PROTOCOL, PORT, ...more);

export const affinityKey = (family: NftFamily): Concat => concat(source(family), destination(family), PROTOCOL, PORT);

/** Key of the hairpin set, from a packet behind DNAT: source, endpoint address, protocol, endpoint port. */
export const hairpinKey = (family: NftFamily): Concat => concat(source(family), destination(family), PROTOCOL, PORT);

const originalPort = ct('proto-dst', 'original');
export const originalAddress = (family: NftFamily): Expression =>
  ct(family === 'ip' ? 'ip daddr' : 'ip6 daddr', 'original');

/** Original destination of a packet's connection, in the fields of `packetKey`. */
export const originalKey = (space: KeySpace, family: NftFamily): readonly Expression[] =>
  space === 'service' ? [originalAddress(family), PROTOCOL, originalPort] : [PROTOCOL, originalPort];

/** Original destination and endpoint of a packet behind DNAT. */
export const translatedKey = (space: KeySpace, family: NftFamily): Concat =>
  concat(...originalKey(space, family), destination(family), PORT);

/** Key of the affinity map, from a packet behind DNAT. */
export const translatedAffinityKey = (family: NftFamily): Concat =>
  concat(source(family), originalAddress(family), PROTOCOL, originalPort);

export const endpointData = (family: NftFamily): Concat => concat(destination(family), PORT);

const addressType = (family: NftFamily): TypeName => (family === 'ip' ? 'ipv4_addr' : 'ipv6_addr');

export const keyTypes = (space: KeySpace, family: NftFamily): readonly TypeName[] =>
  space === 'service' ? [addressType(family), 'inet_proto', 'inet_service'] : ['inet_proto', 'inet_service'];

/** Size of the affinity map. Beyond it clients are not remembered: each of their connections is balanced, none is dropped. */
const AFFINITY_SIZE = 1_048_576;

/** Declarations of the sets and maps that every node has. */
export const declarations = (family: NftFamily): readonly SetDeclaration[] => {
  const address = addressType(family);
  const where = { family, table: TABLE };
  return [
    { ...where, name: CLUSTER_IPS, type: address },
    { ...where, name: NODEPORT_IPS, type: address },
    { ...where, name: HAIRPIN, type: [address, address, 'inet_proto', 'inet_service'] },
    ...KEY_SPACES.flatMap((space) => keySpaceDeclarations(space, family)),
    { ...where, name: FIREWALL, type: keyTypes('service', family), map: 'verdict' },
    { ...where, name: SOURCE_RANGES, type: [...keyTypes('service', family), address], flags: ['interval'] },
    {
      ...where,
      name: AFFINITY,
      type: [address, ...keyTypes('service', family)],
      map: [address, 'inet_service'],
      flags: ['timeout', 'dynamic'],
      size: AFFINITY_SIZE,
    },
  ];
};

const keySpaceDeclarations = (space: KeySpace, family: NftFamily): readonly SetDeclaration[] => {
  const names = SETS[space];
  const where = { family, table: TABLE };
  const verdicts = [names.verdicts, names.insideVerdicts, names.localVerdicts, names.refusals];
  // the index has numgen's type, which only `typeof` can name
  const indexed = { typeof: packetKey(space, family, numgen(2)) };
  const data: readonly TypeName[] = [addressType(family), 'inet_service'];
  return [
    ...verdicts.map((name): SetDeclaration => ({ ...where, name, type: keyTypes(space, family), map: 'verdict' })),
    ...[names.endpoints, names.localEndpoints].map((name) => ({ ...where, name, type: indexed, map: data })),
  ];
};

export const stickyDeclarations = (family: NftFamily): readonly SetDeclaration[] =>
  KEY_SPACES.flatMap((space) => {
    const { timeouts, endpoints, departed } = STICKY[space];
    const where = { family, table: TABLE };
    const type: readonly TypeName[] = [...keyTypes(space, family), addressType(family), 'inet_service'];
    return [
      { ...where, name: timeouts, type: keyTypes(space, family), map: 'verdict' },
      { ...where, name: endpoints, type },
      { ...where, name: departed, type },
    ] satisfies readonly SetDeclaration[];
  });

/** Key space of a set, and whether it has slots. Undefined: elements of the set belong to no frontend. */
export const frontendSet = (name: string): { readonly space: KeySpace; readonly hasSlots: boolean } | undefined => {
  if (name === FIREWALL || name === SOURCE_RANGES) return { space: 'service', hasSlots: false };
  for (const space of KEY_SPACES) {
    const { endpoints, localEndpoints, ...others } = SETS[space];
    if (name === STICKY[space].timeouts || name === STICKY[space].endpoints) return { space, hasSlots: false };
    if (name === endpoints || name === localEndpoints) return { space, hasSlots: true };
    if (Object.values(others).includes(name)) return { space, hasSlots: false };
  }
  return undefined;
};

/** Number of fields in a frontend's key. */
export const KEY_FIELDS: Readonly<Record<KeySpace, number>> = { service: 3, nodePort: 2 };
