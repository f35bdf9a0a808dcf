/**
 * Clients whose endpoint is gone: session affinity must not lead them there any more. Pure.
 */
import { keyOf } from '../../nftables-json/elements.ts';
import type { Element, Expression } from '../../nftables-json/schema.ts';
import { formatExpression } from '../../nftables-json/text.ts';
import type { Held } from './members.ts';
import { KEY_FIELDS, readSticky } from './names.ts';
import type { Target } from './objects.ts';

/** Frontends by key (`10.96.0.1 . tcp . 80`, `tcp . 30080`), each with the endpoints that left it. */
export type Departures = ReadonlyMap<string, ReadonlySet<Target>>;

const isSticky = ({ members }: Held): boolean => members.some(({ set }) => readSticky(set) !== undefined);

const targetsOf = (held: Held | undefined): readonly Target[] => [...(held?.slots.values() ?? [])].flat();

/** Who left between these two states of a frontend. */
export const departed = (before: Held | undefined, after: Held | undefined): ReadonlySet<Target> => {
  if (before === undefined || !isSticky(before)) return new Set();
  const stays = new Set(after !== undefined && isSticky(after) ? targetsOf(after) : []);
  return new Set(targetsOf(before).filter((target) => !stays.has(target)));
};

const ADDRESS_FIELDS = KEY_FIELDS.service;

const parts = (value: Expression): readonly Expression[] =>
  typeof value === 'object' && 'concat' in value ? value.concat : [value];

/** The bare key of an entry (client . address . protocol . port) that leads to somebody who left; undefined for others. */
export const staleKey = (
  entry: Element,
  departures: Departures,
  isFrontend: (key: string) => boolean,
): Expression | undefined => {
  const [, data] = entry as readonly [Expression, Expression];
  const key = keyOf(entry);
  const bare = typeof key === 'object' && 'elem' in key ? key.elem.val : key;
  const [, ...to] = parts(bare);
  const service = to.slice(0, ADDRESS_FIELDS).map(formatExpression).join(' . ');
  // an address that is no Service's is one of the node's own
  const frontend = isFrontend(service) ? service : to.slice(1).map(formatExpression).join(' . ');
  return departures.get(frontend)?.has(formatExpression(data)) === true ? bare : undefined;
};
