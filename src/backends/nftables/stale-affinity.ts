/** Finds stale entries of the affinity map: clients that are remembered with an endpoint that left. Pure. */
import { bareKeyOf } from '../../nftables-json/elements.ts';
import type { Element, Expression } from '../../nftables-json/schema.ts';
import { formatExpression } from '../../nftables-json/text.ts';
import type { InstalledFrontend } from './members.ts';
import { isStickyMap, KEY_FIELDS } from './names.ts';
import type { EndpointAddress } from './objects.ts';

/** Endpoints that left, by key of the frontend (`10.96.0.1 . tcp . 80`, `tcp . 30080`). */
export interface DepartedLookup {
  hasFrontend(key: string): boolean;
  has(key: string, target: EndpointAddress): boolean;
}

export const isSticky = ({ members }: InstalledFrontend): boolean => members.some(({ set }) => isStickyMap(set));

export const targetsOf = ({ slots }: InstalledFrontend): readonly EndpointAddress[] => [...slots.values()].flat();

/**
 * Targets that left between two states of a frontend. A target that left one list and is in another counts as departed: the
 * list of a client depends on its source, which an affinity entry does not tell.
 */
export const departedTargets = (
  before: InstalledFrontend | undefined,
  after: InstalledFrontend | undefined,
): ReadonlySet<EndpointAddress> => {
  if (before === undefined || !isSticky(before)) return new Set();
  const lists = after !== undefined && isSticky(after) ? [...after.slots] : [];
  const leaves = (name: string, targets: ReadonlySet<EndpointAddress>) => (target: EndpointAddress) =>
    !targets.has(target) && before.slots.get(name)?.includes(target) !== false;
  const left = lists.map(([name, targets]) => leaves(name, new Set(targets)));
  const stays = new Set(lists.flatMap(([, targets]) => targets));
  return new Set(targetsOf(before).filter((target) => !stays.has(target) || left.some((isGone) => isGone(target))));
};

const ADDRESS_FIELDS = KEY_FIELDS.service;

const parts = (value: Expression): readonly Expression[] =>
  typeof value === 'object' && 'concat' in value ? value.concat : [value];

interface AffinityEntry {
  /** client . address . protocol . port */
  readonly key: Expression;
  readonly frontend: string;
  readonly target: EndpointAddress;
}

const entryOf = (element: Element, isService: (key: string) => boolean): AffinityEntry => {
  const [, data] = element as readonly [Expression, Expression];
  const key = bareKeyOf(element);
  const [, ...to] = parts(key);
  const service = to.slice(0, ADDRESS_FIELDS).map(formatExpression).join(' . ');
  // an address without a frontend is one of the node's own: the frontend is a NodePort
  const frontend = isService(service) ? service : to.slice(1).map(formatExpression).join(' . ');
  return { key, frontend, target: formatExpression(data) };
};

/** Bare key of an entry whose endpoint left. Undefined for other entries. */
export const staleKey = (
  element: Element,
  departed: DepartedLookup,
  isFrontend: (key: string) => boolean,
): Expression | undefined => {
  const { key, frontend, target } = entryOf(element, (service) => isFrontend(service) || departed.hasFrontend(service));
  return departed.has(frontend, target) ? key : undefined;
};

/** Bare key of an entry whose endpoint is not in its frontend, left behind by a former process. Undefined for others. */
export const strayKey = (
  element: Element,
  installedAt: (key: string) => InstalledFrontend | undefined,
): Expression | undefined => {
  const { key, frontend, target } = entryOf(element, (service) => installedAt(service) !== undefined);
  const installed = installedAt(frontend);
  return installed !== undefined && isSticky(installed) && targetsOf(installed).includes(target) ? undefined : key;
};
