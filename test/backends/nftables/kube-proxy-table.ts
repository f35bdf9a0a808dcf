/**
 * A table as kube-proxy 1.36 leaves it: its base chains, sets and maps, and a chain of its own for each Service. The maps
 * without names that its rules have are named here.
 */
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
  masquerade,
  match,
  meta,
  numgen,
  payload,
  prefix,
  reject,
  vmap,
} from '../../../src/nftables-json/construct.ts';
import type { Chain, Command, Element, SetDeclaration, Statement } from '../../../src/nftables-json/schema.ts';

const here = { family: 'ip', table: 'kube-proxy' } as const;
const address = payload('ip', 'daddr');
const nodePort = [meta('l4proto'), payload('th', 'dport')] as const;
const frontend = concat(address, ...nodePort);
const mark = mangle(meta('mark'), bits(meta('mark'), '|', 0x4000));
const isNew = match(ct('state'), 'in', 'new');

const chain = (name: string, ...rules: readonly (readonly Statement[])[]): readonly Command[] => [
  { add: { chain: { ...here, name } } },
  ...rules.map((expr): Command => ({ add: { rule: { ...here, chain: name, expr } } })),
];

const base = (name: string, type: 'filter' | 'nat', hook: NonNullable<Chain['hook']>, prio: number): Command => ({
  add: { chain: { ...here, name, type, hook, prio, policy: 'accept' } },
});

const rules = (name: string, ...all: readonly (readonly Statement[])[]): readonly Command[] =>
  all.map((expr): Command => ({ add: { rule: { ...here, chain: name, expr } } }));

const set = (declaration: Omit<SetDeclaration, 'family' | 'table'>): Command =>
  declaration.map === undefined
    ? { add: { set: { ...here, ...declaration } } }
    : { add: { map: { ...here, ...declaration } } };

const elements = (name: string, ...elem: readonly Element[]): Command => ({
  add: { element: { ...here, name, elem } },
});

const VIP = ['ipv4_addr', 'inet_proto', 'inet_service'] as const;

const SETS: readonly Command[] = [
  set({ name: 'cluster-ips', type: 'ipv4_addr' }),
  set({ name: 'nodeport-ips', type: 'ipv4_addr' }),
  set({ name: 'hairpin-connections', type: ['ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'] }),
  set({ name: 'no-endpoint-services', type: VIP, map: 'verdict' }),
  set({ name: 'no-endpoint-nodeports', type: VIP.slice(1), map: 'verdict' }),
  set({ name: 'firewall-ips', type: VIP, map: 'verdict' }),
  set({ name: 'service-ips', type: VIP, map: 'verdict' }),
  set({ name: 'service-nodeports', type: VIP.slice(1), map: 'verdict' }),
  set({
    name: 'affinity-GTK6MW7G-ns/web/tcp/p__10.200.0.1/8080',
    type: 'ipv4_addr',
    flags: ['dynamic', 'timeout'],
    timeout: 10_800,
  }),
];

/** The table of a node that has these Services: name, ClusterIP, endpoints. */
export const kubeProxyTable = (
  services: readonly { readonly name: string; readonly ip: string; readonly endpoints: readonly string[] }[],
): readonly Command[] => [
  { add: { table: { family: 'ip', name: 'kube-proxy' } } },
  ...SETS,
  base('filter-prerouting-pre-dnat', 'filter', 'prerouting', -110),
  base('filter-output-pre-dnat', 'filter', 'output', -110),
  base('filter-input', 'filter', 'input', 0),
  base('filter-forward', 'filter', 'forward', 0),
  base('filter-output', 'filter', 'output', 0),
  base('nat-prerouting', 'nat', 'prerouting', -100),
  base('nat-output', 'nat', 'output', -100),
  base('nat-postrouting', 'nat', 'postrouting', 100),
  ...chain('reject-chain', [reject('ip')]),
  ...chain(
    'cluster-ips-check',
    [inSet(address, 'cluster-ips'), reject('ip')],
    [match(address, '==', prefix('10.96.0.0', 12)), drop],
  ),
  ...chain('service-endpoints-check', [vmap(frontend, 'no-endpoint-services')]),
  ...chain('nodeport-endpoints-check', [
    inSet(address, 'nodeport-ips'),
    vmap(concat(...nodePort), 'no-endpoint-nodeports'),
  ]),
  ...chain('firewall-check', [vmap(frontend, 'firewall-ips')]),
  ...chain('firewall-CLWEGQXI-ns/web/tcp/p', [match(payload('ip', 'saddr'), '!=', prefix('10.250.0.0', 24)), drop]),
  ...chain(
    'services',
    [inSet(address, 'cluster-ips'), match(payload('ip', 'saddr'), '!=', prefix('10.200.0.0', 16)), mark],
    [vmap(frontend, 'service-ips')],
    [inSet(address, 'nodeport-ips'), vmap(concat(...nodePort), 'service-nodeports')],
  ),
  ...chain(
    'masquerading',
    [
      match(bits(meta('mark'), '&', 0x4000), '!=', 0),
      mangle(meta('mark'), bits(meta('mark'), '^', 0x4000)),
      masquerade,
    ],
    [
      match(ct('status'), 'in', 'dnat'),
      inSet(concat(payload('ip', 'saddr'), address, ...nodePort), 'hairpin-connections'),
      masquerade,
    ],
  ),
  ...rules('filter-prerouting-pre-dnat', [isNew, jump('firewall-check')]),
  ...rules('filter-output-pre-dnat', [isNew, jump('firewall-check')]),
  ...rules('filter-input', [isNew, jump('nodeport-endpoints-check')], [isNew, jump('service-endpoints-check')]),
  ...rules('filter-forward', [isNew, jump('service-endpoints-check')], [isNew, jump('cluster-ips-check')]),
  ...rules('filter-output', [isNew, jump('service-endpoints-check')], [isNew, jump('cluster-ips-check')]),
  ...rules('nat-prerouting', [jump('services')]),
  ...rules('nat-output', [jump('services')]),
  ...rules('nat-postrouting', [jump('masquerading')]),
  ...chain(
    'external-OOMWRRB7-ns/web/tcp/p',
    [match(fibType('saddr'), '==', 'local'), mark],
    [goto('reject-chain')],
  ).slice(0, 2),
  elements('nodeport-ips', '10.250.0.1'),
  elements('firewall-ips', [concat('203.0.113.9', 'tcp', 80), goto('firewall-CLWEGQXI-ns/web/tcp/p')]),
  elements('no-endpoint-services', [element(concat('10.96.7.7', 'tcp', 80), 'ns/gone:p'), goto('reject-chain')]),
  elements('no-endpoint-nodeports', [element(concat('tcp', 30_009), 'ns/gone:p'), drop]),
  elements('service-nodeports', [concat('tcp', 30_001), goto('external-OOMWRRB7-ns/web/tcp/p')]),
  ...services.flatMap(service),
];

/** Its chain, and where it leads to. */
const service = ({ name, ip, endpoints }: Parameters<typeof kubeProxyTable>[0][number]): readonly Command[] => {
  const own = `service-THPL6MFA-ns/${name}/tcp/p`;
  const unnamed = `map-${name}`;
  const targets = endpoints.map((to, i): Element => [i, concat(to, 8080)]);
  return [
    set({ name: unnamed, type: { typeof: numgen(endpoints.length) }, map: ['ipv4_addr', 'inet_service'] }),
    elements(unnamed, ...targets),
    ...chain(own, [match(meta('l4proto'), '==', 'tcp'), dnat('ip', lookup(numgen(endpoints.length), unnamed))]),
    elements('cluster-ips', ip),
    elements('service-ips', [concat(ip, 'tcp', 80), goto(own)]),
    ...endpoints.slice(0, 1).map((to) => elements('hairpin-connections', concat(to, to, 'tcp', 8080))),
  ];
};
