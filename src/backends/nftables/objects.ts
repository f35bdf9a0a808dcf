/** Objects of this backend: data, constructors and their listing form. */
import type { KernelObject } from '../../dataplane/contract.ts';
import { compareText } from '../../model/order.ts';
import { concat } from '../../nftables-json/construct.ts';
import type { Chain, Command, Concat, Element, SetDeclaration, Statement, Table } from '../../nftables-json/schema.ts';
import {
  formatCommand,
  formatElement,
  formatExpression,
  formatHook,
  formatShape,
  formatStatements,
} from '../../nftables-json/text.ts';
import { type NftFamily, TABLE, tableOf } from './names.ts';

/** The table. Its content tells whether it is dormant, or has sets or base chains of other types than ours. */
export interface TableObject extends KernelObject {
  readonly kind: 'table';
  readonly declaration: Table;
}

/** A chain with all its rules. */
export interface ChainObject extends KernelObject {
  readonly kind: 'chain';
  readonly declaration: Chain;
  readonly rules: readonly (readonly Statement[])[];
}

/** A set or map without its elements. */
export interface SetObject extends KernelObject {
  readonly kind: 'set';
  readonly declaration: SetDeclaration;
}

/** An element that several owners may share. */
export interface ElementObject extends KernelObject {
  readonly kind: 'element';
  readonly member: Member;
}

/** An element with the name of its set. */
export interface Member {
  readonly set: string;
  readonly element: Element;
}

/** Address and port of an endpoint: `10.0.0.1 . 8080`. */
export type EndpointAddress = string;

/**
 * A frontend with all its elements: the unit that is granted to one of several Services. `lists` holds targets by set. The
 * content leaves out their slots, which the driver assigns (see slots.ts).
 */
export interface FrontendElements extends KernelObject {
  readonly kind: 'frontend';
  readonly family: NftFamily;
  readonly key: Concat;
  readonly members: readonly Member[];
  readonly lists: ReadonlyMap<string, readonly EndpointAddress[]>;
}

export type NftObject = TableObject | ChainObject | SetObject | ElementObject | FrontendElements;

export const FRONTEND_PREFIX = 'frontend ';

/** Content of a table that has to be made anew. */
export const OTHER_SHAPE = 'of another shape';
/** Content of a dormant table: its base chains are not registered at their hooks. */
export const DORMANT = 'dormant';

export const table = (family: NftFamily, content = ''): TableObject => ({
  kind: 'table',
  id: 'table',
  content,
  declaration: tableOf(family),
});

/**
 * Names of chains of classes, which stay when they are unused: the next Service with as many endpoints would bring the chain
 * back, and for a new rule that refers to a map the kernel checks all elements of the map (nf_tables_bind_set, Linux 6.18).
 */
const CLASS_CHAIN = /^(nodeport-)?(local-)?(external-)?(pick|sticky)-\d+$/;

export const chain = (declaration: Chain, rules: ChainObject['rules']): ChainObject => ({
  kind: 'chain',
  id: `chain ${declaration.name}`,
  content: [formatHook(declaration), ...rules.map(formatStatements)].join('\n'),
  declaration,
  rules,
  ...(CLASS_CHAIN.test(declaration.name) ? { stays: true } : {}),
});

export const set = (declaration: SetDeclaration): SetObject => ({
  kind: 'set',
  id: `set ${declaration.name}`,
  content: formatShape(declaration),
  declaration,
});

export const element = (member: Member): ElementObject => ({
  kind: 'element',
  id: `element ${member.set} ${formatElement(member.element)}`,
  content: '',
  member,
});

export const frontendElements = (
  family: NftFamily,
  key: Concat,
  members: readonly Member[],
  lists: ReadonlyMap<string, readonly EndpointAddress[]>,
): FrontendElements => ({
  kind: 'frontend',
  id: `${FRONTEND_PREFIX}${formatExpression(key)}`,
  content: frontendContent(members, lists),
  family,
  key,
  members,
  lists,
});

const frontendContent = (members: readonly Member[], lists: FrontendElements['lists']): string =>
  [
    ...members.map(({ set: name, element: one }) => `${name} { ${formatElement(one)} }`),
    ...[...lists].map(([name, targets]) => `${name} ${[...targets].sort(compareText).join(', ')}`),
  ]
    .sort(compareText)
    .join('\n');

/** Element of an endpoint in its slot. */
export const slotMember = (name: string, key: Concat, slot: number, target: EndpointAddress): Member => ({
  set: name,
  element: [concat(...key.concat, slot), targetData(target)],
});

export const targetOf = (ip: string, port: number): EndpointAddress => `${ip} . ${port}`;

export const targetData = (target: EndpointAddress): Concat => {
  const [ip = '', port = ''] = target.split(' . ');
  return concat(ip, Number(port));
};

/** Key of a frontend with one endpoint. */
export const withTarget = (key: Concat, target: EndpointAddress): Concat =>
  concat(...key.concat, ...targetData(target).concat);

/** Elements of a frontend on an empty kernel: targets fill the slots in their order. */
export const initialMembers = ({ key, members, lists }: FrontendElements): readonly Member[] => [
  ...members,
  ...[...lists].flatMap(([name, targets]) => targets.map((target, slot) => slotMember(name, key, slot, target))),
];

/** Commands that add an object to an empty kernel. */
export const creation = (object: NftObject, family: NftFamily): readonly Command[] => {
  switch (object.kind) {
    case 'table':
      return [{ add: { table: object.declaration } }];
    case 'set':
      return [{ add: declare(object.declaration) }];
    case 'chain':
      return [{ add: { chain: object.declaration } }, ...rulesOf(object)];
    case 'element':
      return bySet([object.member], family).map((one) => ({ add: { element: one } }));
    case 'frontend':
      return bySet(initialMembers(object), family).map((one) => ({ add: { element: one } }));
  }
};

export const declare = (
  declaration: SetDeclaration,
): { readonly set: SetDeclaration } | { readonly map: SetDeclaration } =>
  declaration.map === undefined ? { set: declaration } : { map: declaration };

export const rulesOf = ({ declaration: { family, table: of, name }, rules }: ChainObject): readonly Command[] =>
  rules.map((expr) => ({ add: { rule: { family, table: of, chain: name, expr } } }));

export interface SetElements {
  readonly family: NftFamily;
  readonly table: string;
  readonly name: string;
  readonly elem: readonly Element[];
}

/** Groups elements by set. */
export const bySet = (members: readonly Member[], family: NftFamily): readonly SetElements[] => {
  const lists = new Map<string, Element[]>();
  for (const { set: name, element: one } of members) {
    const list = lists.get(name);
    if (list === undefined) lists.set(name, [one]);
    else list.push(one);
  }
  return [...lists].map(([name, elem]) => ({ family, table: TABLE, name, elem }));
};

export const formatObject = (object: NftObject, family: NftFamily): string =>
  creation(object, family).map(formatCommand).join('\n');
