/** A table with everything that the library can say, in one family: for the kernel, and for nft as an oracle. */
import {
  bits,
  concat,
  ct,
  dnat,
  drop,
  element,
  fibType,
  goto,
  inSet,
  jump,
  lookup,
  mangle,
  mapDelete,
  mapUpdate,
  masquerade,
  match,
  meta,
  notInSet,
  numgen,
  payload,
  prefix,
  reject,
  vmap,
} from '../../src/nftables-json/construct.ts';
import type {
  Chain,
  Command,
  Element,
  Expression,
  KeyType,
  SetDeclaration,
  Statement,
} from '../../src/nftables-json/schema.ts';

export type AddressFamily = 'ip' | 'ip6';
export const FAMILIES: readonly AddressFamily[] = ['ip', 'ip6'];
export const TABLE = 'everything';
/** Those of its sets that are declared by an expression. */
export const TYPEOF_SETS = ['endpoints', 'typed'];

const MASQUERADE_MARK = 0x4000;

/** What differs between the families. */
const WORDS = {
  ip: {
    type: 'ipv4_addr',
    vip: '10.96.0.1',
    pods: ['10.0.0.1', '10.0.0.2'],
    range: prefix('10.0.0.0', 8),
    oddRange: prefix('172.16.0.0', 12),
    host: '1.2.3.4',
  },
  ip6: {
    type: 'ipv6_addr',
    vip: 'fd00:96::1',
    pods: ['fd00::1', 'fd00::2'],
    range: prefix('fd00::', 8),
    oddRange: prefix('2001:db8::', 29),
    host: '2001:db9::2',
  },
} as const;

/** What the rules look at. */
const fields = (family: AddressFamily) => {
  const source = payload(family, 'saddr');
  const destination = payload(family, 'daddr');
  const protocol = meta('l4proto');
  const port = payload('th', 'dport');
  return { source, destination, protocol, port, service: [destination, protocol, port] } as const;
};

/** As it is listed: with what it counted so far. */
const counted = (key: Expression): Expression => {
  const counter = { packets: 3, bytes: 180 };
  return typeof key === 'object' && 'elem' in key
    ? { elem: { ...key.elem, counter } }
    : { elem: { val: key, counter } };
};

/** The sets of the table, and what is in them. */
export const setsOf = (family: AddressFamily): readonly (readonly [SetDeclaration, readonly Element[]])[] => {
  const { type, vip, pods, range, oddRange, host } = WORDS[family];
  const { service, destination, port } = fields(family);
  const [pod, other] = pods;
  const set = (name: string, key: KeyType, more: Partial<SetDeclaration> = {}): SetDeclaration => ({
    family,
    table: TABLE,
    name,
    type: key,
    ...more,
  });
  const key = [type, 'inet_proto', 'inet_service'] as const;
  const endpoint = [type, 'inet_service'] as const;
  const indexed = { typeof: concat(...service, numgen(2)) };
  return [
    [set('cluster-ips', type), [vip, element(host, 'a host, with a comment')]],
    [set('marks', 'mark'), [1, MASQUERADE_MARK]],
    [set('ports', 'inet_service', { size: 100, flags: ['timeout'] }), [80, { elem: { val: 81, timeout: 3600 } }]],
    [set('protocols', 'inet_proto', { flags: ['timeout'], timeout: 86_400 }), []],
    [set('hairpin', [type, type, ...key.slice(1)]), [concat(pod, pod, 'tcp', 80), concat(other, other, 'sctp', 9)]],
    [
      set('ranges', [...key, type], { flags: ['interval'] }),
      [
        concat(vip, 'tcp', 443, range),
        concat(vip, 'tcp', 443, host),
        element(concat(vip, 'udp', 53, oddRange), 'ns/name:dns'),
      ],
    ],
    [
      set('services', key, { map: 'verdict' }),
      [
        [element(concat(vip, 'tcp', 443), 'default/kubernetes:https'), goto('pick')],
        [concat(vip, 'udp', 53), jump('pick')],
        [concat(vip, 'sctp', 7), drop],
        [concat(vip, 89, 8), { accept: null }],
        [concat(host, 'tcp', 9), { return: null }],
      ],
    ],
    [set('port-marks', 'inet_service', { map: 'mark' }), [[80, 7]]],
    [
      set('endpoints', indexed, { map: endpoint }),
      [
        [concat(vip, 'tcp', 443, 0), concat(pod, 6443)],
        [element(concat(vip, 'tcp', 443, 1), 'the second'), concat(other, 6443)],
      ],
    ],
    [set('typed', { typeof: concat(destination, port) }), [concat(vip, 80)]],
    [
      set('traffic', key, { stmt: [{ counter: null }] }),
      [concat(vip, 'tcp', 80), element(concat(vip, 'udp', 53), 'ns/name:dns')].map(counted),
    ],
    [
      set('affinity', [type, type, ...key.slice(1)], { map: endpoint, flags: ['dynamic', 'timeout'], size: 65_536 }),
      [],
    ],
  ];
};

const plainRules = (family: AddressFamily): readonly (readonly Statement[])[] => {
  const { range, oddRange, host } = WORDS[family];
  const { source, destination, protocol, port } = fields(family);
  const mark = meta('mark');
  return [
    [match(destination, '==', host), match(port, '==', 80), match(payload('th', 'sport'), '!=', 1024)],
    [match(source, '!=', range), match(destination, '==', oddRange), match(protocol, '==', 'udp')],
    [match(bits(mark, '&', MASQUERADE_MARK), '!=', 0), mangle(mark, bits(mark, '^', MASQUERADE_MARK))],
    [match(mark, '==', 3), mangle(mark, bits(mark, '|', MASQUERADE_MARK)), { accept: null }],
    [mangle(mark, bits(mark, '&', 0xff)), { return: null }],
    [match(ct('state'), 'in', 'invalid'), drop],
    [match(ct('state'), 'in', 'new'), match(ct('status'), 'in', 'dnat'), match(ct('mark'), '==', 5)],
    [match(fibType('daddr'), '==', 'local'), match(fibType('saddr'), '!=', 'local')],
    [match(meta('iifname'), '==', 'veth*'), { return: null }],
    [match(meta('iifname'), '!=', 'cni0'), { return: null }],
    [mangle(mark, lookup(port, 'port-marks'))],
  ];
};

const setRules = (family: AddressFamily): readonly (readonly Statement[])[] => {
  const { source, destination, protocol, port, service } = fields(family);
  return [
    [inSet(destination, 'cluster-ips'), inSet(port, 'ports'), notInSet(protocol, 'protocols')],
    [inSet(meta('mark'), 'marks'), inSet(concat(destination, port), 'typed')],
    [notInSet(concat(...service, source), 'ranges'), drop],
    [inSet(concat(source, ...service), 'hairpin'), { accept: null }],
    [match(ct('direction'), '==', 'original'), inSet(concat(...service), 'traffic')],
    [match(ct('direction'), '==', 'reply'), inSet(concat(...service), 'traffic'), { return: null }],
    [vmap(concat(...service), 'services')],
  ];
};

/** nft 1.0.6 does not read `ct original proto-dst` within a concatenation. */
const affinityRules = (family: AddressFamily): readonly (readonly Statement[])[] => {
  const { source, destination, protocol, port } = fields(family);
  const [address, service] = [ct(`${family} daddr`, 'original'), ct('proto-dst', 'original')];
  const remember = mapUpdate('affinity', concat(source, address, protocol, service), concat(destination, port), 60);
  const forget = mapDelete('affinity', concat(source, address, protocol, service), concat(destination, port));
  return [[inSet(concat(address, service), 'typed'), remember], [remember], [forget, drop]];
};

const natRules = (family: AddressFamily): readonly (readonly Statement[])[] => {
  const { source, service } = fields(family);
  return [
    [dnat(family, lookup(concat(source, ...service), 'affinity'))],
    [dnat(family, lookup(concat(...service, numgen(2)), 'endpoints'))],
  ];
};

const chainsOf = (family: AddressFamily): readonly (readonly [Omit<Chain, 'family' | 'table'>, Statement[][]])[] => {
  const nat = { type: 'nat', policy: 'accept' } as const;
  const lists = (rules: readonly (readonly Statement[])[]): Statement[][] => rules.map((rule) => [...rule]);
  return [
    [{ name: 'pick' }, lists(natRules(family))],
    [{ name: 'plain' }, lists(plainRules(family))],
    [{ name: 'refuse' }, [[reject(family)]]],
    [{ name: 'lookups' }, lists(setRules(family))],
    [{ name: 'prerouting', ...nat, hook: 'prerouting', prio: -100 }, [[jump('plain')], [goto('lookups')]]],
    [
      { name: 'postrouting', ...nat, hook: 'postrouting', prio: 100 },
      [
        [match(meta('mark'), '==', 1), masquerade],
        [match(meta('mark'), '==', 2), { masquerade: null }],
        [match(meta('mark'), '==', 3), { masquerade: { flags: 'random' } }],
        [{ masquerade: { flags: 'persistent' } }],
      ],
    ],
    [{ name: 'forward', type: 'filter', hook: 'forward', prio: 0, policy: 'accept' }, [[jump('refuse')]]],
    [{ name: 'output', type: 'route', hook: 'output', prio: -150, policy: 'accept' }, []],
    [{ name: 'input', type: 'filter', hook: 'input', prio: 7, policy: 'drop' }, []],
  ];
};

const table = (family: AddressFamily): Command => ({ add: { table: { family, name: TABLE } } });

const declared = (declaration: SetDeclaration): Command =>
  declaration.map === undefined ? { add: { set: declaration } } : { add: { map: declaration } };

/** The commands that make the table, in an order that every reader takes. */
export const everything = (family: AddressFamily): readonly Command[] => {
  const sets = setsOf(family);
  const chains = chainsOf(family);
  const here = { family, table: TABLE };
  return [
    table(family),
    ...sets.map(([declaration]) => declared(declaration)),
    ...chains.map(([chain]): Command => ({ add: { chain: { ...here, ...chain } } })),
    ...chains.flatMap(([{ name }, rules]) =>
      rules.map((expr): Command => ({ add: { rule: { ...here, chain: name, expr } } })),
    ),
    ...sets.flatMap(([{ name }, elem]): readonly Command[] =>
      elem.length === 0 ? [] : [{ add: { element: { ...here, name, elem } } }],
    ),
  ];
};

/** And the rules that nft 1.0.6 cannot read, in a chain of their own. */
export const withAffinity = (family: AddressFamily): readonly Command[] => [
  ...everything(family),
  { add: { chain: { family, table: TABLE, name: 'remember' } } },
  ...affinityRules(family).map(
    (expr): Command => ({ add: { rule: { family, table: TABLE, chain: 'remember', expr } } }),
  ),
];

/** What can be taken away again: elements of every kind, all of them, rules, chains, sets and maps. */
export const removals = (family: AddressFamily): readonly Command[] => {
  const here = { family, table: TABLE };
  const of = (name: string) => setsOf(family).find(([set]) => set.name === name) ?? [undefined, []];
  const firstOf = (name: string): Command => ({
    delete: { element: { ...here, name, elem: of(name)[1].slice(0, 1) } },
  });
  const flushed = (name: string): Command => ({ flush: { chain: { ...here, name } } });
  return [
    ...['cluster-ips', 'ranges', 'services', 'endpoints'].map(firstOf),
    ...['postrouting', 'refuse', 'lookups', 'plain'].map(flushed),
    { flush: { set: { ...here, name: 'hairpin', type: 'mark' } } },
    { flush: { map: { ...here, name: 'services', type: 'mark', map: 'verdict' } } },
    { delete: { chain: { ...here, name: 'input' } } },
    { delete: { set: { ...here, name: 'marks', type: 'mark' } } },
    { delete: { map: { ...here, name: 'port-marks', type: 'inet_service', map: 'mark' } } },
  ];
};
