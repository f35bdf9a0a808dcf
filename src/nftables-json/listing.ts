/** Reads one table back: the output of `nft list table`, in the form in which it was written. */
import { decode, decodeList, decodeNest, getBe32, getBe64, getText, text } from '../netlink/attributes.ts';
import type { NetlinkConnection } from '../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../netlink/error.ts';
import type { Message, Request } from '../netlink/message.ts';
import { decodeCounter } from './counters.ts';
import { typesOfNumber } from './datatypes.ts';
import { delinearize } from './delinearize.ts';
import { decodeElement, elementFormat } from './elements.ts';
import {
  CHAIN,
  DESCRIPTION,
  ELEMENTS,
  HOOK,
  HOOKS,
  LIST_ELEMENT,
  MESSAGE,
  RULE,
  request,
  SET,
  SET_FLAG,
  SET_FLAGS,
  TABLE,
  TABLE_DORMANT,
  VERDICT_TYPE,
} from './messages.ts';
import type { Chain, Element, Family, KeyType, Rule, SetDeclaration, SetFlag, TypeName } from './schema.ts';
import { typeofKey } from './userdata.ts';

/** Set or map without its elements; when its types are unknown here, only the name is reliable. */
export interface FoundSet {
  readonly declaration: SetDeclaration;
  readonly isKnown: boolean;
}

export interface TableListing {
  /** Whether the table is dormant: its chains are on no hook. */
  readonly isDormant: boolean;
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
  readonly sets: readonly FoundSet[];
}

const HEADER = 4;
const GENERATION_ID = 1;

const attributesOf = (message: Message) => decode(message.body.subarray(HEADER));

type MessageAttributes = ReturnType<typeof attributesOf>;

const isMissing = (error: unknown): boolean => error instanceof NetlinkError && error.errno === ERRNO.ENOENT;

/** Attempts at a consistent dump of a family's chains, which may be long. */
const MAX_CHAIN_LISTS = 3;

/**
 * One kind of object in a table: the kernel's dump request, and the objects of each message; undefined = another
 * table's.
 */
interface Listed<T> {
  readonly list: Request;
  readonly read: (message: Message) => T | undefined;
}

/**
 * Reads the table as one consistent state; undefined when there is none. Blocks the event loop for the length of the
 * family's dumps.
 */
export const listTable = (connection: NetlinkConnection, family: Family, table: string): TableListing | undefined => {
  const all = <T>({ list, read }: Listed<T>): readonly T[] =>
    connection.dump(list).flatMap((message) => read(message) ?? []);
  try {
    return {
      isDormant: isDormant(connection, family, table),
      chains: all(chainsOf(family, table)),
      rules: all(rulesOf(family, table)),
      sets: all(setsOf(family, table)),
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/**
 * Reads the same as `listTable` and yields to the event loop in between, as other processes choose how long the dumps
 * are.
 */
export const visitTable = async (
  connection: NetlinkConnection,
  family: Family,
  table: string,
): Promise<TableListing | undefined> => {
  try {
    // also tells whether the table exists
    const sleeps = isDormant(connection, family, table);
    const rules = await collect(connection, rulesOf(family, table));
    return {
      isDormant: sleeps,
      chains: await visitChains(connection, family, table, rules),
      rules,
      sets: await collect(connection, setsOf(family, table)),
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** Whether the table is dormant. Throws NetlinkError, ENOENT when there is no table. */
const isDormant = (connection: NetlinkConnection, family: Family, table: string): boolean => {
  const message = connection.get(request(MESSAGE.GET_TABLE, family, 0, [text(TABLE.NAME, table)]));
  const attributes = message === undefined ? undefined : attributesOf(message);
  return attributes?.has(TABLE.FLAGS) === true && (getBe32(attributes, TABLE.FLAGS) & TABLE_DORMANT) !== 0;
};

const collect = <T>(connection: NetlinkConnection, { list, read }: Listed<T>): Promise<readonly T[]> =>
  connection.list(list, (message) => {
    const one = read(message);
    return one === undefined ? [] : [one];
  });

/**
 * Reads the chains. The dump has those of all tables of the family, so any writer makes it inconsistent. After repeated
 * attempts its names are used, together with those of chains that have rules, and each chain is requested by itself. A
 * chain whose name is unknown then has no rules.
 */
const visitChains = async (
  connection: NetlinkConnection,
  family: Family,
  table: string,
  rules: readonly Rule[],
): Promise<readonly Chain[]> => {
  const { list, read } = chainsOf(family, table);
  const names = new Set(rules.map(({ chain }) => chain));
  for (let attempt = 1; attempt <= MAX_CHAIN_LISTS; attempt += 1) {
    const found: Chain[] = [];
    const isWhole = await connection.visit(list, (message) => {
      const chain = read(message);
      if (chain !== undefined) found.push(chain);
    });
    if (isWhole) return found;
    for (const { name } of found) names.add(name);
  }
  return [...names].flatMap((name) => getChain(connection, family, table, name) ?? []);
};

const getChain = (connection: NetlinkConnection, family: Family, table: string, name: string): Chain | undefined => {
  try {
    const where = [text(CHAIN.TABLE, table), text(CHAIN.NAME, name)];
    const answer = connection.get(request(MESSAGE.GET_CHAIN, family, 0, where));
    return answer && readChain(attributesOf(answer), family, table);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** Dumps the chains of all tables of the family: with iptables over nf_tables these are hundreds of thousands. */
const chainsOf = (family: Family, table: string): Listed<Chain> => ({
  list: request(MESSAGE.GET_CHAIN, family, 0, []),
  read: (message) => {
    const chain = attributesOf(message);
    return getText(chain, CHAIN.TABLE) === table ? readChain(chain, family, table) : undefined;
  },
});

const readChain = (chain: MessageAttributes, family: Family, table: string): Chain => {
  const plain = { family, table, name: getText(chain, CHAIN.NAME) };
  if (!chain.has(CHAIN.HOOK)) return plain;
  const hook = decodeNest(chain, CHAIN.HOOK);
  return {
    ...plain,
    type: getText(chain, CHAIN.TYPE) as Chain['type'] & string,
    hook: HOOKS[getBe32(hook, HOOK.NUMBER)] ?? 'prerouting',
    prio: getBe32(hook, HOOK.PRIORITY) | 0,
    policy: getBe32(chain, CHAIN.POLICY) === 0 ? 'drop' : 'accept',
  };
};

/** Rules in the order of evaluation. */
const rulesOf = (family: Family, table: string): Listed<Rule> => ({
  list: request(MESSAGE.GET_RULE, family, 0, [text(RULE.TABLE, table)]),
  read: (message) => {
    const rule = attributesOf(message);
    if (getText(rule, RULE.TABLE) !== table) return undefined;
    const expr = delinearize(rule.get(RULE.EXPRESSIONS) ?? Buffer.alloc(0));
    return { family, table, chain: getText(rule, RULE.CHAIN), expr };
  },
});

/** Sets of a table without anonymous ones, which are created and deleted with their rule. */
const setsOf = (family: Family, table: string): Listed<FoundSet> => ({
  list: request(MESSAGE.GET_SET, family, 0, [text(SET.TABLE, table)]),
  read: (message) => {
    const set = attributesOf(message);
    return (getBe32(set, SET.FLAGS) & SET_FLAG.ANONYMOUS) === 0 ? readSet(set, family, table) : undefined;
  },
});

const readSet = (set: MessageAttributes, family: Family, table: string): FoundSet => {
  const number = getBe32(set, SET.FLAGS);
  const flags = (Object.keys(SET_FLAGS) as SetFlag[]).filter((flag) => (number & SET_FLAGS[flag]) !== 0);
  const size = getBe32(decodeNest(set, SET.DESCRIPTION), DESCRIPTION.SIZE);
  const timeout = Number(getBe64(set, SET.TIMEOUT)) / 1_000;
  const type = keyType(set.get(SET.USERDATA), typesOfNumber(getBe32(set, SET.KEY_TYPE)));
  const isMap = (number & SET_FLAG.MAP) !== 0;
  const data = isMap ? dataType(getBe32(set, SET.DATA_TYPE)) : undefined;
  return {
    isKnown: type !== undefined && (!isMap || data !== undefined),
    declaration: {
      family,
      table,
      name: getText(set, SET.NAME),
      type: type ?? 'integer',
      ...(data === undefined ? {} : { map: data }),
      ...(flags.length === 0 ? {} : { flags }),
      ...(size === 0 ? {} : { size }),
      ...(timeout === 0 ? {} : { timeout }),
      ...(decodeCounter(set, SET.EXPRESSION) === undefined ? {} : { stmt: [{ counter: null }] }),
    },
  };
};

const oneOrMore = (types: readonly TypeName[] | undefined): TypeName | readonly TypeName[] | undefined =>
  types?.length === 1 ? types[0] : types;

const keyType = (userdata: Buffer | undefined, types: readonly TypeName[] | undefined): KeyType | undefined => {
  const expression = userdata === undefined || types?.includes('integer') !== true ? undefined : typeofKey(userdata);
  return expression === undefined ? oneOrMore(types) : { typeof: expression };
};

const dataType = (number: number): NonNullable<SetDeclaration['map']> | undefined =>
  number === VERDICT_TYPE ? 'verdict' : oneOrMore(typesOfNumber(number));

/**
 * Dumps the elements of a set in parts, as there may be hundreds of thousands. Returns whether the dump was consistent.
 * Throws NetlinkError, ENOENT when there is no such set.
 */
export const visitElements = (
  connection: NetlinkConnection,
  declaration: SetDeclaration,
  take: (element: Element) => void,
): Promise<boolean> => {
  const { family, table, name } = declaration;
  const where = [text(ELEMENTS.TABLE, table), text(ELEMENTS.SET, name)];
  const format = elementFormat(declaration);
  return connection.visit(request(MESSAGE.GET_ELEMENT, family, 0, where), (message) => {
    for (const [type, content] of decodeList(attributesOf(message).get(ELEMENTS.LIST) ?? Buffer.alloc(0))) {
      const element = type === LIST_ELEMENT ? decodeElement(format, content) : undefined;
      if (element !== undefined) take(element);
    }
  });
};

/** Generation of the ruleset of this network namespace: it counts changes of all tables of all families. */
export const generation = (connection: NetlinkConnection): number => {
  const message = connection.get(request(MESSAGE.GET_GENERATION, 'inet', 0, []));
  return message === undefined ? 0 : getBe32(attributesOf(message), GENERATION_ID);
};
