/** IP addresses: text to bytes and back. */
import ipaddr from 'ipaddr.js';

/** AF_INET, AF_INET6. */
export const FAMILY = { IPv4: 2, IPv6: 10 } as const;
export type AddressFamily = keyof typeof FAMILY;

export const familyOfAddress = (address: string): AddressFamily => (address.includes(':') ? 'IPv6' : 'IPv4');

/** The 4 or 16 bytes of an address. Throws an Error when the text is no address. */
export const addressBytes = (address: string): Uint8Array => Uint8Array.from(ipaddr.parse(address).toByteArray());

/** The canonical spelling (RFC 5952) of 4 or 16 bytes. */
export const formatAddress = (bytes: Uint8Array): string => {
  const parsed = ipaddr.fromByteArray([...bytes]);
  return parsed.kind() === 'ipv4' ? parsed.toString() : (parsed as ipaddr.IPv6).toRFC5952String();
};
