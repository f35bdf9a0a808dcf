/** Generic netlink (linux/genetlink.h): a family's number is assigned when it registers, and resolved by its name. */
import { type Attribute, decode, encode, getU16, sizeOf, text } from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import type { Message, Request } from './message.ts';

const GENERIC_HEADER = 4;
const CONTROL = { type: 16, GETFAMILY: 3, FAMILY_ID: 1, FAMILY_NAME: 2 } as const;

/** Request to a generic netlink family. */
export const genericRequest = (
  type: number,
  command: number,
  attributes: readonly Attribute[],
  flags = 0,
  version = 1,
): Request => {
  const body = Buffer.alloc(GENERIC_HEADER + sizeOf(attributes));
  body[0] = command;
  body[1] = version;
  encode(body, GENERIC_HEADER, attributes);
  return { type, flags, body };
};

export const genericAttributes = ({ body }: Message): ReadonlyMap<number, Buffer> =>
  decode(body.subarray(GENERIC_HEADER));

/**
 * Message type of a family. Throws NetlinkError: ENOENT when the kernel has no family of this name (module not loaded).
 */
export const familyId = (connection: NetlinkConnection, name: string): number => {
  const answer = connection.get(genericRequest(CONTROL.type, CONTROL.GETFAMILY, [text(CONTROL.FAMILY_NAME, name)]));
  return answer === undefined ? 0 : getU16(genericAttributes(answer), CONTROL.FAMILY_ID);
};
