/**
 * Conntrack flows: conntrack(8), linux/netfilter/nfnetlink_conntrack.h.
 *
 * The kernel filters dumps from 5.9 on and ignores filters before, so every flow is matched here once more. Flows are
 * deleted by their whole tuple only: a deletion without a tuple empties the conntrack table.
 */
import { type AddressFamily, addressBytes, FAMILY, familyOfAddress, formatAddress } from './address.ts';
import {
  type Attribute,
  type Attributes,
  bytes,
  decode,
  decodeNest,
  encode,
  getBe16,
  getBe32,
  getU8,
  nest,
  net16,
  net32,
  sizeOf,
  u8,
  u32,
} from './attributes.ts';
import type { NetlinkConnection, RequestFailure } from './connection.ts';
import { ERRNO } from './error.ts';
import type { Message, Request } from './message.ts';

export type FlowProtocol = 'tcp' | 'udp' | 'sctp';

/** Tuple of one direction of a flow. */
export interface Tuple {
  readonly protocol: FlowProtocol;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export interface Flow {
  readonly original: Tuple;
  /** Tuple of the reply direction: its source is the endpoint after DNAT. */
  readonly reply: Tuple;
  readonly zone: number;
  /** Id that the kernel gives: a later flow with the same tuple has another one. */
  readonly id: number;
}

/** Filter of a dump; a field that is absent matches every flow. */
export interface FlowFilter {
  readonly family: AddressFamily;
  readonly protocol?: FlowProtocol;
  /** Destination address of the original direction. */
  readonly destination?: string;
  readonly destinationPort?: number;
}

const SUBSYSTEM = 1 << 8;
const GET = 1;
const DELETE = 2;
const HEADER = 4;
const CTA = { ORIGINAL: 1, REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const;
const TUPLE = { IP: 1, PROTOCOL: 2 } as const;
const IP = { SOURCE4: 1, DESTINATION4: 2, SOURCE6: 3, DESTINATION6: 4 } as const;
const PROTOCOL = { NUMBER: 1, SOURCE_PORT: 2, DESTINATION_PORT: 3 } as const;
/** Bits of the tuple's fields that the kernel compares. */
const BIT = { DESTINATION: 2, PROTOCOL: 8, DESTINATION_PORT: 0x20 } as const;
const NUMBERS: Readonly<Record<FlowProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
const NAMES = new Map(Object.entries(NUMBERS).map(([name, number]) => [number, name as FlowProtocol]));

const request = (type: number, family: AddressFamily, attributes: readonly Attribute[]): Request => {
  const body = Buffer.alloc(HEADER + sizeOf(attributes));
  body[0] = FAMILY[family];
  encode(body, HEADER, attributes);
  return { type: SUBSYSTEM | type, flags: 0, body };
};

/** Lists the flows that match. Throws NetlinkError. */
export const listFlows = (connection: NetlinkConnection, filter: FlowFilter): readonly Flow[] =>
  connection
    .dump(request(GET, filter.family, filterAttributes(filter)))
    .flatMap((message) => flowOf(message) ?? [])
    .filter((flow) => fits(flow, filter));

/**
 * Lists the flows that match in parts and yields to the event loop in between; nothing else may use the connection
 * until it is done. Returns whether the dump was consistent. Throws NetlinkError.
 */
export const visitFlows = (
  connection: NetlinkConnection,
  filter: FlowFilter,
  take: (flow: Flow) => void,
): Promise<boolean> =>
  connection.visit(request(GET, filter.family, filterAttributes(filter)), (message) => {
    const flow = flowOf(message);
    if (flow !== undefined && fits(flow, filter)) take(flow);
  });

const filterAttributes = ({ protocol, destination, destinationPort }: FlowFilter): readonly Attribute[] => {
  const address = destination === undefined ? [] : [addressAttribute('DESTINATION', destination)];
  const fields = [
    ...(protocol === undefined ? [] : [u8(PROTOCOL.NUMBER, NUMBERS[protocol])]),
    ...(destinationPort === undefined ? [] : [net16(PROTOCOL.DESTINATION_PORT, destinationPort)]),
  ];
  const flags =
    (destination === undefined ? 0 : BIT.DESTINATION) |
    (protocol === undefined ? 0 : BIT.PROTOCOL) |
    (destinationPort === undefined ? 0 : BIT.DESTINATION_PORT);
  if (flags === 0) return [];
  return [
    nest(CTA.ORIGINAL, [
      ...(address.length === 0 ? [] : [nest(TUPLE.IP, address)]),
      ...(fields.length === 0 ? [] : [nest(TUPLE.PROTOCOL, fields)]),
    ]),
    nest(CTA.FILTER, [u32(1, flags), u32(2, 0)]),
  ];
};

const addressAttribute = (which: 'SOURCE' | 'DESTINATION', ip: string): Attribute =>
  bytes(IP[`${which}${familyOfAddress(ip) === 'IPv4' ? 4 : 6}`], addressBytes(ip));

const fits = ({ original }: Flow, { family, protocol, destination, destinationPort }: FlowFilter): boolean =>
  familyOfAddress(original.destination) === family &&
  (protocol === undefined || original.protocol === protocol) &&
  (destination === undefined || original.destination === destination) &&
  (destinationPort === undefined || original.destinationPort === destinationPort);

const flowOf = ({ body }: Message): Flow | undefined => {
  const attributes = decode(body.subarray(HEADER));
  const original = tupleOf(decodeNest(attributes, CTA.ORIGINAL));
  const reply = tupleOf(decodeNest(attributes, CTA.REPLY));
  return original === undefined || reply === undefined
    ? undefined
    : { original, reply, zone: getBe16(attributes, CTA.ZONE), id: getBe32(attributes, CTA.ID) };
};

/** Undefined for protocols without ports, such as ICMP. */
const tupleOf = (attributes: Attributes): Tuple | undefined => {
  const ip = decodeNest(attributes, TUPLE.IP);
  const fields = decodeNest(attributes, TUPLE.PROTOCOL);
  const protocol = NAMES.get(getU8(fields, PROTOCOL.NUMBER));
  const source = ip.get(IP.SOURCE4) ?? ip.get(IP.SOURCE6);
  const destination = ip.get(IP.DESTINATION4) ?? ip.get(IP.DESTINATION6);
  if (protocol === undefined || source === undefined || destination === undefined) return undefined;
  return {
    protocol,
    source: formatAddress(source),
    sourcePort: getBe16(fields, PROTOCOL.SOURCE_PORT),
    destination: formatAddress(destination),
    destinationPort: getBe16(fields, PROTOCOL.DESTINATION_PORT),
  };
};

/**
 * Deletes these flows. A flow that has ended meanwhile is no failure, also when a new flow has its tuple: the id
 * differs. Returns the failures.
 */
export const deleteFlows = (connection: NetlinkConnection, flows: readonly Flow[]): readonly RequestFailure[] =>
  connection
    .execute(
      flows.map(({ original, zone, id }) =>
        request(DELETE, familyOfAddress(original.source), [
          nest(CTA.ORIGINAL, tupleAttributes(original)),
          net32(CTA.ID, id),
          ...(zone === 0 ? [] : [net16(CTA.ZONE, zone)]),
        ]),
      ),
    )
    .filter(({ error }) => error.errno !== ERRNO.ENOENT);

const tupleAttributes = (tuple: Tuple): readonly Attribute[] => [
  nest(TUPLE.IP, [addressAttribute('SOURCE', tuple.source), addressAttribute('DESTINATION', tuple.destination)]),
  nest(TUPLE.PROTOCOL, [
    u8(PROTOCOL.NUMBER, NUMBERS[tuple.protocol]),
    net16(PROTOCOL.SOURCE_PORT, tuple.sourcePort),
    net16(PROTOCOL.DESTINATION_PORT, tuple.destinationPort),
  ]),
];
