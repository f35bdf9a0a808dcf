/** The elements of a set in memory: what a kernel takes, and what it refuses. */
import { type Attributes, decode, decodeList, decodeNest, getBe32, getText } from '../../../src/netlink/attributes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { DATA, VERDICT } from '../../../src/nftables-json/kernel-expression.ts';
import { DESCRIPTION, SET, SET_FLAG, VERDICT_TYPE } from '../../../src/nftables-json/messages.ts';

export const ELEMENT = {
  KEY: 1,
  DATA: 2,
  FLAGS: 3,
  TIMEOUT: 4,
  EXPIRATION: 5,
  USERDATA: 6,
  EXPRESSION: 7,
  KEY_END: 10,
} as const;

export interface ElementState {
  readonly content: Buffer;
  readonly attributes: Attributes;
  readonly key: Buffer;
  readonly end: Buffer;
  readonly data: Buffer | undefined;
  /** Of a verdict: the chain that it leads to. */
  readonly target: string | undefined;
  /** In a set that counts. */
  readonly counted: { packets: number; bytes: number };
}

export const hasFlag = (set: Attributes, flag: number): boolean => (getBe32(set, SET.FLAGS) & flag) !== 0;

export const idOf = ({ key, end }: Pick<ElementState, 'key' | 'end'>): string =>
  `${key.toString('hex')}-${end.toString('hex')}`;

const lengthOf = (value: Buffer | undefined): number => value?.length ?? 0;

/** An errno for what no set like this can hold. */
export const parseElement = (set: Attributes, content: Buffer, isDeletion: boolean): ElementState | number => {
  const attributes = decode(content);
  const key = decodeNest(attributes, ELEMENT.KEY).get(DATA.VALUE);
  const last = decodeNest(attributes, ELEMENT.KEY_END).get(DATA.VALUE);
  if (key === undefined || key.length !== getBe32(set, SET.KEY_LENGTH)) return ERRNO.EINVAL;
  if (last !== undefined && (last.length !== key.length || !hasFlag(set, SET_FLAG.INTERVAL))) return ERRNO.EINVAL;
  const data = attributes.get(ELEMENT.DATA);
  const counted = { packets: 0, bytes: 0 };
  const element = { content, attributes, key, end: last ?? key, data, target: undefined, counted };
  if (isDeletion) return element;
  if ((data !== undefined) !== hasFlag(set, SET_FLAG.MAP)) return ERRNO.EINVAL;
  if (attributes.has(ELEMENT.TIMEOUT) && !hasFlag(set, SET_FLAG.TIMEOUT)) return ERRNO.EINVAL;
  if (data === undefined) return element;
  const parts = decode(data);
  if (getBe32(set, SET.DATA_TYPE) !== VERDICT_TYPE) {
    return lengthOf(parts.get(DATA.VALUE)) === getBe32(set, SET.DATA_LENGTH) ? element : ERRNO.EINVAL;
  }
  const verdict = parts.get(DATA.VERDICT);
  if (verdict === undefined) return ERRNO.EINVAL;
  const target = getText(decode(verdict), VERDICT.CHAIN);
  return { ...element, target: target === '' ? undefined : target };
};

/** Bytes of each field of a key, without what pads it. */
const fieldLengths = (set: Attributes): readonly number[] => {
  const fields = decodeNest(set, SET.DESCRIPTION).get(DESCRIPTION.CONCAT);
  if (fields === undefined) return [getBe32(set, SET.KEY_LENGTH)];
  return decodeList(fields).map(([, field]) => getBe32(decode(field), DESCRIPTION.FIELD_LENGTH));
};

/** Whether some key would be in both. */
export const overlap = (set: Attributes, one: ElementState, other: ElementState): boolean => {
  let at = 0;
  for (const length of fieldLengths(set)) {
    const field = (bytes: Buffer): Buffer => bytes.subarray(at, at + length);
    if (Buffer.compare(field(one.key), field(other.end)) > 0) return false;
    if (Buffer.compare(field(other.key), field(one.end)) > 0) return false;
    at += (length + 3) & ~3;
  }
  return true;
};
