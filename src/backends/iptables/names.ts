/**
 * Chain names, exactly kube-proxy's: dashboards, CNIs and people know them, and either proxy can take a node over from the
 * other in place.
 */
import { createHash } from 'node:crypto';
import { joinHostPort } from '../../model/address.ts';
import { formatServicePortName, type ServicePortName } from '../../model/service.ts';

export const EXTERNAL_SERVICES = 'KUBE-EXTERNAL-SERVICES';
export const NODEPORTS = 'KUBE-NODEPORTS';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const NAME_CHARS = 16;

/** Hash of 80 bits: the first 16 characters of the RFC 4648 base32 text of SHA-256. */
export const hash16 = (text: string): string => {
  const digest = createHash('sha256').update(text).digest();
  let name = '';
  for (let bit = 0; name.length < NAME_CHARS; bit += 5) {
    const at = bit >> 3;
    const pair = ((digest[at] ?? 0) << 8) | (digest[at + 1] ?? 0);
    name += BASE32[(pair >> (11 - (bit & 7))) & 31];
  }
  return name;
};

const hashed = (name: ServicePortName, endpoint = ''): string =>
  hash16(`${formatServicePortName(name)}${name.protocol.toLowerCase()}${endpoint}`);

/** Names of the chains of one service port. */
export const serviceChains = (
  name: ServicePortName,
): { readonly svc: string; readonly svl: string; readonly ext: string; readonly fw: string } => {
  const hash = hashed(name);
  return { svc: `KUBE-SVC-${hash}`, svl: `KUBE-SVL-${hash}`, ext: `KUBE-EXT-${hash}`, fw: `KUBE-FW-${hash}` };
};

export const endpointChain = (name: ServicePortName, ip: string, port: number): string =>
  `KUBE-SEP-${hashed(name, joinHostPort(ip, port))}`;
