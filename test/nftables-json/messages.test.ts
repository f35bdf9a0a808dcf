import { describe, expect, it } from 'vitest';
import {
  decode,
  decodeList,
  decodeNest,
  getBe32,
  getBe64,
  getText,
  MAX_ATTRIBUTE,
} from '../../src/netlink/attributes.ts';
import { FLAG, type Request } from '../../src/netlink/message.ts';
import { concat, drop, element, goto, meta, numgen, payload } from '../../src/nftables-json/construct.ts';
import {
  CHAIN,
  DESCRIPTION,
  ELEMENTS,
  HOOK,
  MESSAGE,
  messagesOf,
  messageType,
  RULE,
  SET,
  SET_FLAG,
  TABLE,
} from '../../src/nftables-json/messages.ts';
import type { Command, Element, KeyType, SetDeclaration } from '../../src/nftables-json/schema.ts';
import { typeofKey } from '../../src/nftables-json/userdata.ts';

const HEADER = 4;
const here = { family: 'ip6', table: 'kube-proxy', name: 'n' } as const;
const service = concat(payload('ip6', 'daddr'), meta('l4proto'), payload('th', 'dport'));
const key = ['ipv6_addr', 'inet_proto', 'inet_service'] as const;

const messages = (command: Command, ...sets: readonly SetDeclaration[]): readonly Request[] => {
  const find = (name: string): SetDeclaration => {
    const set = sets.find((one) => one.name === name);
    if (set === undefined) throw new TypeError(name);
    return set;
  };
  return messagesOf(command, find, () => 7);
};

/** The one message of a command: what it does, with which flags, in which family, and its attributes. */
const theOne = (command: Command, ...sets: readonly SetDeclaration[]) => {
  const [first, ...others] = messages(command, ...sets);
  if (first === undefined || others.length > 0) throw new Error('not one message');
  const body = Buffer.from(first.body);
  return { type: first.type, flags: first.flags, family: body[0], attributes: decode(body.subarray(HEADER)) };
};

describe('a message', () => {
  const set = { ...here, type: 'mark' } as const;
  const map = { ...set, map: 'verdict' } as const;
  const cases: readonly (readonly [string, Command, number, number])[] = [
    ['to add a table', { add: { table: { family: 'ip6', name: 't' } } }, MESSAGE.NEW_TABLE, FLAG.CREATE],
    ['to add a chain', { add: { chain: here } }, MESSAGE.NEW_CHAIN, FLAG.CREATE],
    [
      'to add a rule at the end',
      { add: { rule: { family: 'ip6', table: 't', chain: 'c', expr: [drop] } } },
      MESSAGE.NEW_RULE,
      FLAG.CREATE | FLAG.APPEND,
    ],
    ['to add a set', { add: { set } }, MESSAGE.NEW_SET, FLAG.CREATE],
    ['to add a map', { add: { map } }, MESSAGE.NEW_SET, FLAG.CREATE],
    ['to add an element', { add: { element: { ...here, elem: [1] } } }, MESSAGE.NEW_ELEMENT, FLAG.CREATE],
    ['to delete a table', { delete: { table: { family: 'ip6', name: 't' } } }, MESSAGE.DELETE_TABLE, 0],
    ['to delete a chain', { delete: { chain: here } }, MESSAGE.DELETE_CHAIN, 0],
    ['to delete a set', { delete: { set } }, MESSAGE.DELETE_SET, 0],
    ['to delete a map', { delete: { map } }, MESSAGE.DELETE_SET, 0],
    ['to delete an element', { delete: { element: { ...here, elem: [1] } } }, MESSAGE.DELETE_ELEMENT, 0],
    ['to delete the rules of a chain', { flush: { chain: here } }, MESSAGE.DELETE_RULE, 0],
    ['to delete the elements of a set', { flush: { set } }, MESSAGE.DELETE_ELEMENT, 0],
    ['to delete the elements of a map', { flush: { map } }, MESSAGE.DELETE_ELEMENT, 0],
  ];

  it.each(cases)('%s has its number, flags and family', (_, command, number, flags) => {
    expect(theOne(command, set)).toMatchObject({ type: messageType(number), flags, family: 10 });
  });

  it('that flushes names what is flushed and nothing in it', () => {
    const chain = theOne({ flush: { chain: here } }).attributes;
    expect([...chain.keys()]).toEqual([RULE.TABLE, RULE.CHAIN]);
    expect(getText(chain, RULE.CHAIN)).toBe('n');
    const elements = theOne({ flush: { set } }).attributes;
    expect([...elements.keys()]).toEqual([ELEMENTS.TABLE, ELEMENTS.SET]);
  });

  it('is of its own family', () => {
    const families = (['ip', 'ip6', 'inet'] as const).map(
      (family) => theOne({ add: { table: { family, name: 't' } } }).family,
    );
    expect(families).toEqual([2, 10, 1]);
    expect(getText(theOne({ add: { table: { family: 'ip', name: 't' } } }).attributes, TABLE.NAME)).toBe('t');
  });
});

describe('a chain', () => {
  it('without a hook has a name only', () => {
    expect([...theOne({ add: { chain: here } }).attributes.keys()]).toEqual([CHAIN.TABLE, CHAIN.NAME]);
  });

  it.each([
    ['prerouting', 0],
    ['input', 1],
    ['forward', 2],
    ['output', 3],
    ['postrouting', 4],
  ] as const)('at %s has hook number %i, a priority below or above zero, and a policy', (hook, number) => {
    const { attributes } = theOne({ add: { chain: { ...here, type: 'nat', hook, prio: -100, policy: 'drop' } } });
    expect(getBe32(decodeNest(attributes, CHAIN.HOOK), HOOK.NUMBER)).toBe(number);
    expect(getBe32(decodeNest(attributes, CHAIN.HOOK), HOOK.PRIORITY) | 0).toBe(-100);
    expect(getText(attributes, CHAIN.TYPE)).toBe('nat');
    expect(getBe32(attributes, CHAIN.POLICY)).toBe(0);
    const open = theOne({ add: { chain: { ...here, type: 'filter', hook, prio: 1 } } }).attributes;
    expect(getBe32(open, CHAIN.POLICY)).toBe(1);
  });
});

describe('a set', () => {
  const attributesOf = (more: Partial<SetDeclaration>) =>
    theOne({ add: { set: { ...here, type: key, ...more } } }).attributes;

  it('has the number and the length of its key, and an id', () => {
    const set = attributesOf({});
    expect([getBe32(set, SET.KEY_TYPE), getBe32(set, SET.KEY_LENGTH)]).toEqual([0x830d, 24]);
    expect([getBe32(set, SET.FLAGS), getBe32(set, SET.ID)]).toEqual([0, 7]);
    for (const absent of [SET.DATA_TYPE, SET.DATA_LENGTH, SET.DESCRIPTION, SET.TIMEOUT]) {
      expect(set.has(absent)).toBe(false);
    }
  });

  it('that is a map has the type of its data, of verdicts no length', () => {
    const data = attributesOf({ map: ['ipv6_addr', 'inet_service'] });
    expect(getBe32(data, SET.FLAGS)).toBe(SET_FLAG.MAP);
    expect([getBe32(data, SET.DATA_TYPE), getBe32(data, SET.DATA_LENGTH)]).toEqual([0x20d, 20]);
    const verdicts = attributesOf({ map: 'verdict' });
    expect(getBe32(verdicts, SET.DATA_TYPE)).toBe(0xffffff00);
    expect(verdicts.has(SET.DATA_LENGTH)).toBe(false);
  });

  it('of ranges says how long each field is', () => {
    const set = attributesOf({ flags: ['interval'] });
    expect(getBe32(set, SET.FLAGS)).toBe(SET_FLAG.INTERVAL | SET_FLAG.CONCAT);
    const lengths = decodeList(decodeNest(set, SET.DESCRIPTION).get(DESCRIPTION.CONCAT) ?? Buffer.alloc(0)).map(
      ([, field]) => getBe32(decode(field), DESCRIPTION.FIELD_LENGTH),
    );
    expect(lengths).toEqual([16, 1, 2]);
  });

  it.each<KeyType>(['ipv6_addr', ['ipv6_addr', 'mark'], { typeof: concat(payload('ip6', 'saddr'), numgen(2)) }])(
    'of ranges has several fields, none of them in the byte order of the machine: not %j',
    (type) => {
      expect(() => attributesOf({ type, flags: ['interval'] })).toThrow(TypeError);
    },
  );

  it('may be limited in size and in time', () => {
    const set = attributesOf({ flags: ['timeout', 'dynamic'], size: 65_536, timeout: 3 });
    expect(getBe32(set, SET.FLAGS)).toBe(SET_FLAG.TIMEOUT | SET_FLAG.DYNAMIC);
    expect(getBe32(decodeNest(set, SET.DESCRIPTION), DESCRIPTION.SIZE)).toBe(65_536);
    expect(getBe64(set, SET.TIMEOUT)).toBe(3_000n);
  });

  it('keeps for nft by which expression it was declared', () => {
    const declared = concat(service, numgen(2));
    const set = attributesOf({ type: { typeof: declared }, map: ['ipv6_addr', 'inet_service'] });
    expect(getBe32(set, SET.KEY_LENGTH)).toBe(28);
    const userdata = set.get(SET.USERDATA) ?? Buffer.alloc(0);
    expect(typeofKey(userdata)).toEqual(concat(service, numgen(2)));
    expect(typeofKey(attributesOf({}).get(SET.USERDATA) ?? Buffer.alloc(0))).toBeUndefined();
    expect(() => attributesOf({ type: { typeof: payload('ip', 'dport') } })).not.toThrow();
  });
});

describe('elements', () => {
  const verdicts: SetDeclaration = { ...here, type: key, map: 'verdict' };
  const many = (count: number): readonly Element[] =>
    Array.from({ length: count }, (_, i) => [
      element(concat('fd00::1', 'tcp', i), `namespace-${i}/name-of-a-service-${i}:port`),
      goto('pick-3'),
    ]);
  const listsOf = (requests: readonly Request[]): readonly Buffer[] =>
    requests.map(({ body }) => decode(Buffer.from(body).subarray(HEADER)).get(ELEMENTS.LIST) ?? Buffer.alloc(0));

  it.each([1, 400, 5_000, 20_000])('%i of them go in messages of which none has a list too long', (count) => {
    for (const command of ['add', 'delete'] as const) {
      const requests = messages(
        command === 'add'
          ? { add: { element: { ...here, elem: many(count) } } }
          : { delete: { element: { ...here, elem: many(count) } } },
        verdicts,
      );
      const lists = listsOf(requests);
      expect(lists.reduce((sum, list) => sum + decodeList(list).length, 0)).toBe(count);
      expect(lists.filter((list) => list.length === 0 || list.length + HEADER > MAX_ATTRIBUTE)).toEqual([]);
      expect(lists.length).toBeLessThanOrEqual(Math.ceil((count * 200) / MAX_ATTRIBUTE));
    }
    expect(messages({ add: { element: { ...here, elem: many(5_000) } } }, verdicts).length).toBeGreaterThan(1);
  });

  it('none of them are no message', () => {
    expect(messages({ add: { element: { ...here, elem: [] } } }, verdicts)).toEqual([]);
  });

  it('of a set that nobody declared are refused', () => {
    expect(() => messages({ add: { element: { ...here, elem: [1] } } })).toThrow(TypeError);
  });
});
