/** Destinations (address and port) whose packets a frontend translates. */
import type { AddressPort } from '../../model/frontend.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import type { NftObject } from './objects.ts';

const PROTOCOLS: Readonly<Record<string, Protocol>> = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' };

/** Destination of a frontend's key: address, protocol and port, or protocol and port for a NodePort. */
export const placesOfFrontend = (object: NftObject): readonly AddressPort[] => {
  if (object.kind !== 'frontend') return [];
  const { concat } = object.key;
  const [name, port] = concat.slice(-2);
  const ip = concat.length === 3 ? concat[0] : undefined;
  const protocol = PROTOCOLS[String(name)];
  return protocol === undefined
    ? []
    : [{ ip: ip === undefined ? undefined : String(ip), protocol, port: Number(port) }];
};
