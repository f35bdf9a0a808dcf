/**
 * Every flag: its name, the setting on which it lands, one line of help.
 *
 * Names and meaning are kube-proxy 1.36's, so that its manifests run unchanged; the last group is ours. Types and
 * defaults are those of the setting (fields.ts). Knows nothing of parsing.
 */
import type { Profile } from './config.ts';
import { type FieldPath, fieldAt } from './fields.ts';
import { boolean, type Kind } from './kinds.ts';

/** Where a flag lands when that depends on the proxy mode. */
interface ByMode {
  /** Where no mode is known yet. Its kind and default are those of all. */
  readonly usual: FieldPath;
  /** Undefined = the flag has no effect in that mode. */
  readonly in: (groups: Profile['groups']) => FieldPath | undefined;
}

export interface Flag {
  readonly name: string;
  readonly help: string;
  readonly to: FieldPath | ByMode;
  readonly group: string;
  /** Counts even with a configuration file, and then more than the file. */
  readonly beatsFile: boolean;
}

type Row = readonly [name: string, to: FieldPath | ByMode, help: string];

const group = (title: string, rows: readonly Row[], beatsFile = false): readonly Flag[] =>
  rows.map(([name, to, help]) => ({ name, to, help, group: title, beatsFile }));

const RUNNING = group(
  'What to do:',
  [
    ['config', 'configFile', 'read the configuration from this file; most flags are then ignored'],
    ['write-config-to', 'writeConfigTo', 'write the effective configuration as YAML to this file and exit'],
    ['cleanup', 'cleanup', 'remove the rules of every proxy mode and exit'],
    ['init-only', 'initOnly', 'do what needs privileges (kernel settings, checks) and exit'],
    ['version', 'version', 'print the version and exit'],
    ['master', 'master', 'URL of the API server, before the one in the kubeconfig'],
    ['hostname-override', 'hostnameOverride', "name of this node, if it is not the machine's host name"],
  ],
  true,
);

const CONNECTION = group('API server:', [
  ['kubeconfig', 'clientConnection.kubeconfig', 'kubeconfig file; without it the service account of the pod is used'],
  ['kube-api-content-type', 'clientConnection.contentType', 'media type of requests to the API server'],
  ['kube-api-qps', 'clientConnection.qps', 'requests a second to the API server'],
  ['kube-api-burst', 'clientConnection.burst', 'requests to the API server that may go out at once'],
  ['config-sync-period', 'configSyncPeriod', 'how often the known objects are gone through again'],
]);

const SERVERS = group('Node and servers:', [
  ['bind-address', 'bindAddress', "the node's own address, over the one in its Node object; nothing is bound to it"],
  ['healthz-bind-address', 'healthzBindAddress', 'where the health server listens'],
  ['metrics-bind-address', 'metricsBindAddress', 'where the metrics server listens'],
  ['healthz-port', 'healthzPort', 'deprecated: port for --healthz-bind-address if that has none; 0 = no health server'],
  [
    'metrics-port',
    'metricsPort',
    'deprecated: port for --metrics-bind-address if that has none; 0 = no metrics server',
  ],
  ['bind-address-hard-fail', 'bindAddressHardFail', 'exit when a server cannot listen on its address'],
  ['profiling', 'enableProfiling', 'serve profiles under /debug/pprof of the metrics server'],
  ['show-hidden-metrics-for-version', 'showHiddenMetricsForVersion', 'also serve metrics hidden since this version'],
  ['feature-gates', 'featureGates', 'features to turn on or off: Name=true,Other=false'],
  ['oom-score-adj', 'oomScoreAdj', 'how readily the kernel ends this process when memory is short'],
]);

/** Fields that flags named for iptables do not reach: ipvs has flags of its own, and the bit of nftables has none. */
const OUT_OF_REACH: ReadonlySet<FieldPath> = new Set([
  'ipvs.syncPeriod',
  'ipvs.minSyncPeriod',
  'nftables.masqueradeBit',
]);

const inReach = (path: FieldPath): FieldPath | undefined => (OUT_OF_REACH.has(path) ? undefined : path);

const MASQUERADE_ALL: ByMode = {
  usual: 'iptables.masqueradeAll',
  in: ({ masquerade }) => inReach(`${masquerade}.masqueradeAll`),
};
const MASQUERADE_BIT: ByMode = {
  usual: 'iptables.masqueradeBit',
  in: ({ masquerade }) => inReach(`${masquerade}.masqueradeBit`),
};
const SYNC_PERIOD: ByMode = {
  usual: 'iptables.syncPeriod',
  in: ({ periods }) => inReach(`${periods}.syncPeriod`),
};
const MIN_SYNC_PERIOD: ByMode = {
  usual: 'iptables.minSyncPeriod',
  in: ({ periods }) => inReach(`${periods}.minSyncPeriod`),
};

const PROXYING = group('Proxying:', [
  ['proxy-mode', 'mode', `${fieldAt('mode').kind.expected}: what carries out the rules`],
  ['detect-local-mode', 'detectLocalMode', 'ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix'],
  ['cluster-cidr', 'clusterCIDR', 'pod addresses of the cluster, one CIDR a family (for ClusterCIDR)'],
  ['pod-bridge-interface', 'detectLocal.bridgeInterface', 'the bridge of local pods (for BridgeInterface)'],
  ['pod-interface-name-prefix', 'detectLocal.interfaceNamePrefix', 'beginning of pod interface names'],
  ['nodeport-addresses', 'nodePortAddresses', 'where NodePorts answer: CIDRs, or primary (the default with nftables)'],
  ['masquerade-all', MASQUERADE_ALL, "give all traffic to Services the node's address as its source"],
  ['iptables-masquerade-bit', MASQUERADE_BIT, 'bit of the packet mark that means "masquerade this"'],
  ['iptables-localhost-nodeports', 'iptables.localhostNodePorts', 'let NodePorts answer on 127.0.0.1 too'],
  ['iptables-sync-period', SYNC_PERIOD, 'time between two checks of all rules; also with nftables'],
  ['iptables-min-sync-period', MIN_SYNC_PERIOD, 'least time between two writes, 0 = at once; also with nftables'],
  ['ipvs-sync-period', 'ipvs.syncPeriod', 'time between two checks of all rules with ipvs'],
  ['ipvs-min-sync-period', 'ipvs.minSyncPeriod', 'least time between two writes with ipvs, 0 = at once'],
  ['ipvs-scheduler', 'ipvs.scheduler', 'how ipvs picks an endpoint (rr if not given)'],
  ['ipvs-exclude-cidrs', 'ipvs.excludeCIDRs', 'virtual servers in these CIDRs are left alone'],
  ['ipvs-strict-arp', 'ipvs.strictARP', 'answer ARP only on the interface that has the address'],
  ['ipvs-tcp-timeout', 'ipvs.tcpTimeout', 'how long an idle TCP connection is kept, 0 = as the kernel has it'],
  ['ipvs-tcpfin-timeout', 'ipvs.tcpFinTimeout', 'the same after a FIN'],
  ['ipvs-udp-timeout', 'ipvs.udpTimeout', 'the same for UDP'],
]);

const CONNTRACK = group('Connection tracking:', [
  ['conntrack-max-per-core', 'conntrack.maxPerCore', 'tracked connections for each CPU, 0 = as the kernel has it'],
  ['conntrack-min', 'conntrack.min', 'tracked connections at least, however few CPUs there are'],
  ['conntrack-tcp-timeout-established', 'conntrack.tcpEstablishedTimeout', 'how long an idle connection is tracked'],
  ['conntrack-tcp-timeout-close-wait', 'conntrack.tcpCloseWaitTimeout', 'the same in state CLOSE_WAIT'],
  ['conntrack-tcp-be-liberal', 'conntrack.tcpBeLiberal', 'do not drop packets that are out of the TCP window'],
  ['conntrack-udp-timeout', 'conntrack.udpTimeout', 'how long UDP is tracked, 0 = as the kernel has it'],
  ['conntrack-udp-timeout-stream', 'conntrack.udpStreamTimeout', 'the same for UDP that was answered'],
]);

const LOGGING = group(
  'Logging:',
  [
    ['v', 'logging.verbosity', 'how much to log'],
    ['vmodule', 'logging.vmodule', 'how much to log for single files (text format only)'],
    ['logging-format', 'logging.format', 'text or json'],
    ['log-flush-frequency', 'logging.flushFrequency', 'how long log lines may be held back'],
    ['log-text-split-stream', 'logging.options.text.splitStream', 'text: errors to stderr, the rest to stdout'],
    ['log-text-info-buffer-size', 'logging.options.text.infoBufferSize', 'text: buffer of a split stream'],
    ['log-json-split-stream', 'logging.options.json.splitStream', 'json: errors to stderr, the rest to stdout'],
    ['log-json-info-buffer-size', 'logging.options.json.infoBufferSize', 'json: buffer of a split stream'],
  ],
  true,
);

const LEFTOVERS = group('Accepted for compatibility:', [
  ['machine-id-file', 'machineIdFile', 'no effect'],
  ['boot-id-file', 'bootIdFile', 'no effect'],
]);

const OURS = group(
  'Pointsman:',
  [
    ['source', 'pointsman.source', 'where objects come from: apiserver, or files:DIR for a folder of YAML'],
    ['iptables-tool', 'pointsman.iptablesTool', 'which iptables programs to use: auto, nft or legacy'],
    ['startup-taint', 'pointsman.startupTaint', 'key of a taint to take off this node once its rules are in place'],
    ['service-metrics', 'pointsman.serviceMetrics', 'most service ports with traffic metrics of their own, 0 = none'],
    ['ipvs-mark-mask', 'pointsman.ipvsMarkMask', 'the only bits of packet marks that ipvs sets and compares'],
    [
      'metrics-authorization',
      'pointsman.metricsAuthorization',
      'who but the node itself may see more than metrics: local = nobody, token = bearers whom the cluster admits; strict = the same for metrics',
    ],
    ['dry-run', 'pointsman.dryRun', 'say what would be written instead of writing it'],
  ],
  true,
);

export const FLAGS: readonly Flag[] = [
  ...RUNNING,
  ...PROXYING,
  ...SERVERS,
  ...CONNECTION,
  ...CONNTRACK,
  ...LOGGING,
  ...LEFTOVERS,
  ...OURS,
];

const BY_NAME: ReadonlyMap<string, Flag> = new Map(FLAGS.map((flag) => [flag.name, flag]));

export const flagNamed = (name: string): Flag | undefined => BY_NAME.get(name);

/** The setting of a flag, which in some cases only the mode decides. */
export const targetOf = (flag: Flag, { groups }: Profile): FieldPath | undefined =>
  typeof flag.to === 'string' ? flag.to : flag.to.in(groups);

/** The same kind of value and the same default in every mode. */
export const usualTargetOf = (flag: Flag): FieldPath => (typeof flag.to === 'string' ? flag.to : flag.to.usual);

export const kindOf = (flag: Flag): Kind<unknown> => fieldAt(usualTargetOf(flag)).kind;

/** May stand without a value, which then is `true`, and never takes the next word for one. */
export const isBare = (flag: Flag): boolean => kindOf(flag) === boolean || flag.name === 'version';
