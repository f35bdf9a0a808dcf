/**
 * Packet marks by which virtual servers are found. A NodePort's is made of protocol and port, so it is nobody else's; that
 * of a VIP is a hash of address, protocol and port in a range of its own. Should two of those ever be the same, the
 * older Service has it, and the other's status says so.
 */
import { createHash } from 'node:crypto';
import type { Protocol } from '../../model/kubernetes.ts';
import type { ServicePort } from '../../model/service.ts';

const PROTOCOL_NUMBER = { TCP: 1, UDP: 2, SCTP: 3 } as const;
const VIPS = 2 ** 30;

/** Below 2^18; never 0. */
export const nodePortMark = ({ name, nodePort }: ServicePort): number =>
  PROTOCOL_NUMBER[name.protocol] * 0x10000 + nodePort;

/** From 2^30 to 2^31 - 1. */
export const vipMark = (ip: string, protocol: Protocol, port: number): number => {
  const digest = createHash('sha256').update(`${ip} ${protocol} ${port}`).digest();
  return VIPS + (digest.readUInt32BE() % VIPS);
};
