/** Counters of elements: the kernel's expression `counter`, to and from plain numbers. */
import {
  type Attribute,
  be64,
  decodeNest,
  encode,
  getBe64,
  getText,
  nest,
  sizeOf,
  text,
} from '../netlink/attributes.ts';
import { EXPRESSION } from './kernel-expression.ts';
import type { Counter } from './schema.ts';

const NAME = 'counter';
const COUNTER = { BYTES: 1, PACKETS: 2 } as const;

/** Attribute of a set whose elements have counters. */
export const counterAttribute = (type: number): Attribute => nest(type, [text(EXPRESSION.NAME, NAME)]);

/** Attributes of an element's counter. */
export const encodeCounter = ({ packets, bytes }: Counter): Uint8Array => {
  const counted = [be64(COUNTER.BYTES, BigInt(bytes)), be64(COUNTER.PACKETS, BigInt(packets))];
  const attributes = [text(EXPRESSION.NAME, NAME), nest(EXPRESSION.DATA, counted)];
  const content = Buffer.alloc(sizeOf(attributes));
  encode(content, 0, attributes);
  return content;
};

/** Counter of an element; undefined for another expression, or none. */
export const decodeCounter = (attributes: Parameters<typeof decodeNest>[0], type: number): Counter | undefined => {
  if (!attributes.has(type)) return undefined;
  const expression = decodeNest(attributes, type);
  if (getText(expression, EXPRESSION.NAME) !== NAME) return undefined;
  const counted = decodeNest(expression, EXPRESSION.DATA);
  return {
    packets: Number(getBe64(counted, COUNTER.PACKETS)),
    bytes: Number(getBe64(counted, COUNTER.BYTES)),
  };
};
