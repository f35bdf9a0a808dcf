/**
 * Errors of netlink requests, with the kernel's message where it gives one (extended acknowledgements, kernel 4.12).
 */
import { constants } from 'node:os';
import { decode, getText } from './attributes.ts';
import { readU32 } from './bytes.ts';
import { errnoOf, MESSAGE_HEADER, type Message } from './message.ts';

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** errno(3) numbers by name. */
export const ERRNO = constants.errno;

export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** errno(3); ipset has numbers of its own from 4096 on. */
  readonly errno: number;

  constructor(errno: number, detail: string) {
    super(detail === '' ? nameOf(errno) : `${nameOf(errno)}: ${detail}`);
    this.errno = errno;
  }
}

const nameOf = (errno: number): string => NAMES.get(errno) ?? `error ${errno}`;

const CAPPED = 0x100;
const HAS_ATTRIBUTES = 0x200;
const ERRNO_BYTES = 4;

/** Error of an answer; undefined for an acknowledgement. */
export const errorOf = (message: Message): NetlinkError | undefined => {
  const errno = errnoOf(message);
  return errno === 0
    ? undefined
    : new NetlinkError(errno, (message.flags & HAS_ATTRIBUTES) === 0 ? '' : detailOf(message));
};

/**
 * The errno is followed by the request's header, or by the whole request unless capped; attributes with the message
 * come last.
 */
const detailOf = ({ flags, body }: Message): string => {
  const isCapped = (flags & CAPPED) !== 0;
  const length = body.length < ERRNO_BYTES + 4 ? 0 : readU32(body, ERRNO_BYTES);
  const attributes = decode(body.subarray(ERRNO_BYTES + (isCapped ? MESSAGE_HEADER : length)));
  return getText(attributes, 1);
};
