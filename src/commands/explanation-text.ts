/** The explanation of a Service as a page for people. Pure. */
import { joinHostPort } from '../model/address.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { ModeProfile } from '../model/mode-profile.ts';
import type { NodeContext } from '../model/node.ts';
import { formatServicePortName } from '../model/service.ts';
import type { Condition, HintsIgnored } from '../model/topology.ts';
import type { TrafficRow } from '../model/traffic.ts';
import { addressOf, type EndpointStory, type FamilyStory, type Kind, type PortStory } from './explanation.ts';

/** Everything about one family, a block a port. */
export const familyText = (story: FamilyStory, profile: ModeProfile): string =>
  story.ports.map((port) => portText(port, story.node, profile)).join('\n');

const portText = (story: PortStory, node: NodeContext, profile: ModeProfile): string =>
  [
    `${node.family} ${story.owner}`,
    ...section('Addresses', addressLines(story, node)),
    ...section('Policies', policyLines(story)),
    ...section(`Endpoints${slicesText(story)}`, endpointLines(story, node)),
    ...section('Calls', callLines(story, node, profile)),
    ...section('Notes', complaintLines(story)),
    ...section(`Rules, mode ${profile.mode}`, ruleLines(story)),
    '',
  ].join('\n');

const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : [`  ${title}`, ...lines.map((line) => `    ${line.replace(/[^ -~]/g, '?')}`)];

const table = (rows: readonly (readonly [string, ...string[]])[]): readonly string[] => {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
};

const addressLines = ({ port }: PortStory, node: NodeContext): readonly string[] => {
  const at = (ip: string): string => joinHostPort(ip, port.port);
  return table([
    ['ClusterIP', at(port.clusterIP)],
    ...(port.nodePort === 0 ? [] : [['NodePort', `${port.nodePort}, ${nodePortText(node)}`] as const]),
    ...port.externalIPs.map((ip) => ['external IP', at(ip)] as const),
    ...port.loadBalancerVIPs.map((ip) => ['load-balancer IP', `${at(ip)}${rangesText(port.sourceRanges)}`] as const),
    ...(port.healthCheckNodePort === 0 ? [] : [['health check', `node port ${port.healthCheckNodePort}`] as const]),
  ]);
};

const nodePortText = ({ nodePortAddresses: at, nodePortsOnLoopback }: NodeContext): string => {
  const loopback = nodePortsOnLoopback ? ', and on 127.0.0.1' : '';
  if (at === 'all') return `on every address of this node${loopback}`;
  return at.length === 0
    ? 'closed: --nodeport-addresses names no address of this node'
    : `on ${at.join(', ')}${loopback}`;
};

const rangesText = (ranges: PortStory['port']['sourceRanges']): string => {
  if (ranges === undefined) return '';
  if (ranges.length === 0) return ', for nobody: loadBalancerSourceRanges names no network of this family';
  return `, for callers in ${ranges.map(({ text }) => text).join(', ')} alone; all others are dropped`;
};

const policyLines = ({ port }: PortStory): readonly string[] =>
  table([
    ['internal traffic', port.internalPolicyLocal ? "Local: this node's endpoints alone" : 'Cluster'],
    [
      'external traffic',
      port.externalPolicyLocal ? "Local: from outside the cluster this node's endpoints alone" : 'Cluster',
    ],
    [
      'session affinity',
      port.affinitySeconds === 0 ? 'none' : `a client comes back to its endpoint within ${port.affinitySeconds} s`,
    ],
  ]);

const slicesText = ({ slices: { used } }: PortStory): string =>
  used.length === 0 ? '' : `, from EndpointSlice${used.length === 1 ? '' : 's'} ${used.join(', ')}`;

const endpointLines = (story: PortStory, node: NodeContext): readonly string[] => {
  if (story.endpoints.length === 0) return [`none: ${whyNone(story)}`];
  return [
    ...table(
      story.endpoints.map((one) => [
        addressOf(one.endpoint),
        one.endpoint.isLocal ? 'on this node' : 'elsewhere',
        shareText(one),
      ]),
    ),
    ...hintLines('node', story.hintsIgnored.node, node.name),
    ...hintLines('zone', story.hintsIgnored.zone, node.zone),
  ];
};

const whyNone = ({ port, slices: { used, otherPorts } }: PortStory): string => {
  if (used.length > 0) return 'its EndpointSlices are empty. Does the selector match any pod?';
  if (otherPorts.length === 0) {
    return 'no EndpointSlice of this family with a port belongs to it. Does the selector match any pod?';
  }
  const name = `${port.name.port || '(no name)'}/${port.name.protocol}`;
  return `its EndpointSlices have no port ${name}, but ${[...new Set(otherPorts)].join(', ')}. Do the pods have the targetPort?`;
};

const KINDS: Readonly<Record<Kind, string>> = {
  'cluster-ip': 'to the ClusterIP',
  external: 'to the other addresses',
  'external-from-outside': 'from outside to the other addresses',
  'external-from-inside': 'from pods and this node to the other addresses',
};

/** `takes all calls`, `takes calls to the ClusterIP; none from outside …: not on this node`. */
const shareText = ({ endpoint, traffic }: EndpointStory): string => {
  const taken = traffic.filter(({ failedBy }) => failedBy === undefined).map(({ kind }) => KINDS[kind]);
  const reasons = new Map<string, string[]>();
  for (const { kind, failedBy } of traffic) {
    if (failedBy === undefined) continue;
    const reason = reasonText(failedBy, endpoint);
    reasons.set(reason, [...(reasons.get(reason) ?? []), KINDS[kind]]);
  }
  const draining = endpoint.ready ? '' : ', terminating as it is: no other is ready';
  if (reasons.size === 0) return `takes all calls${draining}`;
  if (taken.length === 0) return `takes none: ${[...reasons.keys()].join('; ')}`;
  const none = [...reasons].map(([reason, kinds]) => `none ${kinds.join(' and ')}: ${reason}`);
  return [`takes calls ${taken.join(' and ')}${draining}`, ...none].join('; ');
};

const reasonText = (failed: Condition['is'], { serving, terminating, nodeHints, zoneHints }: Endpoint): string => {
  switch (failed) {
    case 'local':
      return 'not on this node (policy Local)';
    case 'hinted-node':
      return `its hints are for other nodes: ${nodeHints.join(', ')}`;
    case 'hinted-zone':
      return `its hints are for other zones: ${zoneHints.join(', ')}`;
    case 'ready':
    case 'draining':
      if (!terminating) return 'not ready';
      return serving ? 'terminating, and others are ready' : 'terminating, and serves no more';
  }
};

const hintLines = (what: 'node' | 'zone', why: HintsIgnored | undefined, us: string): readonly string[] => {
  switch (why) {
    case undefined:
      return [];
    case 'unlabelled':
      return [`hints are not followed: the Node has no label for its ${what}`];
    case 'incomplete':
      return [`hints of ${what}s are not followed: some ready endpoint has none`];
    case 'elsewhere':
      return [`hints of ${what}s are not followed: none is for ${us}`];
  }
};

const callLines = ({ port, traffic }: PortStory, node: NodeContext, profile: ModeProfile): readonly string[] => {
  const leaves = ({ to, from }: TrafficRow): boolean =>
    !profile.refusesOwnCalls &&
    to === 'external' &&
    from === 'node' &&
    port.externalIPs.length + port.loadBalancerVIPs.length > 0;
  const rows = (to: TrafficRow['to']): readonly string[] =>
    table(
      traffic
        .filter((one) => one.to === to)
        .map((one) => [`  from ${callerText(one.from, node)}`, outcomeText(one, leaves(one))]),
    );
  const [internal, external] = [rows('cluster-ip'), rows('external')];
  return [
    ...['to the ClusterIP', ...internal],
    ...(external.length === 0 ? [] : ['to the other addresses', ...external]),
    ...(traffic.some(({ endpoints }) => endpoints.some(({ isLocal }) => isLocal))
      ? ["an endpoint that reaches itself sees this node's address"]
      : []),
  ];
};

const callerText = (caller: TrafficRow['from'], { localDetector }: NodeContext): string => {
  if (caller === 'node') return 'this node';
  if (localDetector === undefined) return 'pods and elsewhere (nothing tells pods from others: --cluster-cidr)';
  if (caller === 'outside') return 'elsewhere';
  switch (localDetector.by) {
    case 'source':
      return `pods (source in ${localDetector.cidr.text})`;
    case 'interface':
      return `pods (in by ${localDetector.name})`;
    case 'interface-prefix':
      return `pods (in by ${localDetector.prefix}*)`;
  }
};

const outcomeText = ({ endpoints, outcome, seenAs }: TrafficRow, leaves: boolean): string => {
  if (outcome === 'dropped') return 'dropped: no endpoint is on this node (policy Local)';
  if (outcome === 'refused') {
    return `refused: there is no endpoint${leaves ? '; but to an external or load-balancer IP it leaves the node' : ''}`;
  }
  const [count, verb] = endpoints.length === 1 ? ['1 endpoint', 'sees'] : [`${endpoints.length} endpoints`, 'see'];
  return `${count}, which ${verb} ${seenAs === 'node' ? "this node's" : "the caller's"} address`;
};

const complaintLines = ({ owner, disputes, notes, problem }: PortStory): readonly string[] => [
  ...(problem === undefined ? [] : [`no rules: ${problem}`]),
  ...disputes.map(({ id, isGranted, owners }) => {
    const [holder = ''] = owners;
    if (!isGranted) return `${id}: ${holder} has it; of Services that want one thing the oldest gets it`;
    return `${id}: wanted by ${owners.filter((other) => other !== owner).join(', ')} too, and this Service has it`;
  }),
  ...notes,
];

const ruleLines = ({ rules, disputes, port }: PortStory): readonly string[] => {
  const lost = new Set(disputes.filter(({ isGranted }) => !isGranted).map(({ id }) => id));
  return rules.flatMap(({ id, text }) => [
    ...(lost.has(id) ? [`# not in force for ${formatServicePortName(port.name)}: ${id}`] : []),
    ...text.split('\n').filter((line) => line !== ''),
  ]);
};
