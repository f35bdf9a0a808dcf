/** A value for every flag with what it does, and values that it refuses with what it says. */

/** Flag, text, where it lands, value there. */
export const EFFECTS: readonly (readonly [string, string, string, unknown])[] = [
  ['write-config-to', '/tmp/c.yaml', 'writeConfigTo', '/tmp/c.yaml'],
  ['cleanup', 'T', 'cleanup', true],
  ['init-only', '1', 'initOnly', true],
  ['master', 'https://api:6443', 'master', 'https://api:6443'],
  ['hostname-override', 'Node_1', 'hostnameOverride', 'Node_1'],
  ['proxy-mode', 'nftables', 'mode', 'nftables'],
  ['detect-local-mode', 'NodeCIDR', 'detectLocalMode', 'NodeCIDR'],
  ['cluster-cidr', '10.0.0.1/8,fd00::/48', 'clusterCIDR', ['10.0.0.0/8', 'fd00::/48']],
  ['pod-bridge-interface', 'cni0', 'detectLocal.bridgeInterface', 'cni0'],
  ['pod-interface-name-prefix', 'veth', 'detectLocal.interfaceNamePrefix', 'veth'],
  ['nodeport-addresses', '10.0.0.0/8,192.168.0.0/16', 'nodePortAddresses', ['10.0.0.0/8', '192.168.0.0/16']],
  ['masquerade-all', 'true', 'iptables.masqueradeAll', true],
  ['iptables-masquerade-bit', '0', 'iptables.masqueradeBit', 0],
  ['iptables-localhost-nodeports', 'false', 'iptables.localhostNodePorts', false],
  ['iptables-sync-period', '1h30m', 'iptables.syncPeriodMs', 5_400_000],
  ['iptables-min-sync-period', '1.5s', 'iptables.minSyncPeriodMs', 1_500],
  ['ipvs-sync-period', '100ms', 'ipvs.syncPeriodMs', 100],
  ['ipvs-min-sync-period', '2s', 'ipvs.minSyncPeriodMs', 2_000],
  ['ipvs-scheduler', 'lc', 'ipvs.scheduler', 'lc'],
  ['ipvs-exclude-cidrs', '10.1.0.0/16', 'ipvs.excludeCIDRs', ['10.1.0.0/16']],
  ['ipvs-strict-arp', 'TRUE', 'ipvs.strictARP', true],
  ['ipvs-tcp-timeout', '15m', 'ipvs.tcpTimeoutMs', 900_000],
  ['ipvs-tcpfin-timeout', '2m', 'ipvs.tcpFinTimeoutMs', 120_000],
  ['ipvs-udp-timeout', '5m', 'ipvs.udpTimeoutMs', 300_000],
  ['bind-address', '[fd00::1]', 'bindAddress', 'fd00::1'],
  ['healthz-bind-address', '[::]:1256', 'healthzBindAddress', '[::]:1256'],
  ['metrics-bind-address', '0.0.0.0', 'metricsBindAddress', '0.0.0.0:10249'],
  ['healthz-port', '0', 'healthzBindAddress', ''],
  ['metrics-port', '0', 'metricsBindAddress', ''],
  ['bind-address-hard-fail', 't', 'bindAddressHardFail', true],
  ['profiling', 'True', 'enableProfiling', true],
  ['show-hidden-metrics-for-version', '1.35', 'showHiddenMetricsForVersion', '1.35'],
  ['feature-gates', 'A=true,B=f,', 'featureGates', { A: true, B: false }],
  ['oom-score-adj', '-1000', 'oomScoreAdj', -1000],
  ['kubeconfig', '/etc/k', 'clientConnection.kubeconfig', '/etc/k'],
  ['kube-api-content-type', 'application/json', 'clientConnection.contentType', 'application/json'],
  ['kube-api-qps', '2.5', 'clientConnection.qps', 2.5],
  ['kube-api-burst', '20', 'clientConnection.burst', 20],
  ['config-sync-period', '1m', 'configSyncPeriodMs', 60_000],
  ['conntrack-max-per-core', '0', 'conntrack.maxPerCore', 0],
  ['conntrack-min', '1', 'conntrack.min', 1],
  ['conntrack-tcp-timeout-established', '0', 'conntrack.tcpEstablishedTimeoutMs', 0],
  ['conntrack-tcp-timeout-close-wait', '5s', 'conntrack.tcpCloseWaitTimeoutMs', 5_000],
  ['conntrack-tcp-be-liberal', '1', 'conntrack.tcpBeLiberal', true],
  ['conntrack-udp-timeout', '10s', 'conntrack.udpTimeoutMs', 10_000],
  ['conntrack-udp-timeout-stream', '20s', 'conntrack.udpStreamTimeoutMs', 20_000],
  ['v', '4', 'logging.verbosity', 4],
  [
    'vmodule',
    'a*=2,b=3',
    'logging.vmodule',
    [
      { filePattern: 'a*', verbosity: 2 },
      { filePattern: 'b', verbosity: 3 },
    ],
  ],
  ['logging-format', 'json', 'logging.format', 'json'],
  ['log-flush-frequency', '1s', 'logging.flushFrequencyMs', 1_000],
  ['log-text-split-stream', 'true', 'logging.options.text.splitStream', true],
  ['log-text-info-buffer-size', '64Ki', 'logging.options.text.infoBufferSize', '64Ki'],
  ['log-json-split-stream', 'true', 'logging.options.json.splitStream', true],
  ['log-json-info-buffer-size', '512', 'logging.options.json.infoBufferSize', '512'],
  ['source', 'files:/srv/a:b', 'pointsman.source', { kind: 'files', dir: '/srv/a:b' }],
  ['iptables-tool', 'legacy', 'pointsman.iptablesTool', 'legacy'],
  ['service-metrics', '500', 'pointsman.serviceMetrics', 500],
  ['ipvs-mark-mask', '0xff0', 'pointsman.ipvsMarkMask', 0xff0],
  ['metrics-authorization', 'strict', 'pointsman.metricsAuthorization', 'strict'],
  ['dry-run', 'true', 'pointsman.dryRun', true],
  ['startup-taint', 'node.example.com/not-ready', 'pointsman.startupTaint', 'node.example.com/not-ready'],
];

/** These have no place in the configuration, or need a file. */
export const ELSEWHERE = ['config', 'version', 'machine-id-file', 'boot-id-file'];

const BOOLEAN = 'true or false';
const DURATION = 'a duration of 0 or more, such as 30s';
const PERIOD = 'a duration above 0, such as 30s';
const SIZE = 'a whole number from 0 to 2147483647';
const ADDRESS = 'an IP address with a port from 1 to 65535, such as 0.0.0.0:10256';
const QUANTITY = 'a size in bytes, such as 0 or 64Ki';
const CIDRS = 'CIDRs';
const GATES = 'feature gates, each true or false (Name=true,Other=false)';
const PRIMARY = 'CIDRs, or just "primary"';
const PAIR = 'one CIDR, or an IPv4 and an IPv6 one with a comma between';
const VMODULE = 'items of a file pattern and a level (pattern=2 as a flag, {filePattern, verbosity} in a file)';
const DETECT = 'ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix';

/** What each flag refuses, with what it says then. */
export const REFUSED: Readonly<Record<string, readonly [texts: readonly string[], expected: string]>> = {
  cleanup: [['yes', 'tRUE', ''], BOOLEAN],
  'init-only': [['2'], BOOLEAN],
  version: [['1.2.3'], 'true, false, raw or vX.Y.Z'],
  'hostname-override': [[' '], 'a node name'],
  'proxy-mode': [['userspace', 'IPTables'], 'iptables, ipvs or nftables'],
  'detect-local-mode': [['clustercidr'], DETECT],
  'cluster-cidr': [
    ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/8,10.1.0.0/16', '10.0.0.0/8,fd00::/8,fd01::/16', '10.0.0.0/8,'],
    PAIR,
  ],
  'nodeport-addresses': [['primary,10.0.0.0/8', '10.0.0.1', 'Primary'], PRIMARY],
  'masquerade-all': [['on'], BOOLEAN],
  'iptables-masquerade-bit': [['32', '-1', '1.5', '014', '0x1', ''], 'a whole number from 0 to 31'],
  'iptables-localhost-nodeports': [['no'], BOOLEAN],
  'iptables-sync-period': [['0', '-1s', '30', ''], PERIOD],
  'iptables-min-sync-period': [['-1s', 'x'], DURATION],
  'ipvs-sync-period': [['0s'], PERIOD],
  'ipvs-min-sync-period': [['-1ns'], DURATION],
  'ipvs-exclude-cidrs': [['10.0.0.0/8,x'], CIDRS],
  'ipvs-strict-arp': [['x'], BOOLEAN],
  'ipvs-tcp-timeout': [['-1s'], DURATION],
  'ipvs-tcpfin-timeout': [['-1s'], DURATION],
  'ipvs-udp-timeout': [['-1s'], DURATION],
  'bind-address': [['localhost', '10.0.0', '10.0.0.1:80', '[10.0.0.1]'], 'an IP address'],
  'healthz-bind-address': [['localhost:10256', '0.0.0.0:0', '0.0.0.0:65536', ':10256', '::1:x'], ADDRESS],
  'metrics-bind-address': [['0.0.0.0:', '[::1'], ADDRESS],
  'healthz-port': [['-1', '65536'], 'a whole number from 0 to 65535'],
  'metrics-port': [['x'], 'a whole number from 0 to 65535'],
  'bind-address-hard-fail': [['x'], BOOLEAN],
  profiling: [['x'], BOOLEAN],
  'show-hidden-metrics-for-version': [['latest', '1', 'v1.35'], 'a minor version such as 1.35'],
  'feature-gates': [['A', 'A=maybe', '=true'], GATES],
  'oom-score-adj': [['-1001', '1001'], 'a whole number from -1000 to 1000'],
  'kube-api-qps': [['many', 'NaN'], 'a number'],
  'kube-api-burst': [['-1', '2147483648'], SIZE],
  'config-sync-period': [['0'], PERIOD],
  'conntrack-max-per-core': [['-1'], SIZE],
  'conntrack-min': [['1e3'], SIZE],
  'conntrack-tcp-timeout-established': [['-1s', '1d'], DURATION],
  'conntrack-tcp-timeout-close-wait': [['-1s'], DURATION],
  'conntrack-tcp-be-liberal': [['x'], BOOLEAN],
  'conntrack-udp-timeout': [['-1s'], DURATION],
  'conntrack-udp-timeout-stream': [['-1s'], DURATION],
  v: [['debug', '-1'], SIZE],
  vmodule: [['a', 'a=x', '=2'], VMODULE],
  'logging-format': [['xml'], 'text or json'],
  'log-flush-frequency': [['5000000000'], 'a duration of 0 or more, such as 5s, or a number of nanoseconds'],
  'log-text-split-stream': [['x'], BOOLEAN],
  'log-text-info-buffer-size': [['64kb'], QUANTITY],
  'log-json-split-stream': [['x'], BOOLEAN],
  'log-json-info-buffer-size': [['-1'], QUANTITY],
  source: [['files', 'files:', 'etcd'], 'apiserver, or files:DIR'],
  'iptables-tool': [['nftables'], 'auto, nft or legacy'],
  'service-metrics': [['-1', '100001', '1.5', 'all'], 'a whole number from 0 to 100000'],
  'ipvs-mark-mask': [
    ['0', '0x', '0x0', '-1', '0x100000000', '4294967296', '017', 'ff'],
    'bits of a packet mark, such as 0x1f7f',
  ],
  'metrics-authorization': [['none', 'always'], 'local, token or strict'],
  'dry-run': [['x'], BOOLEAN],
  'startup-taint': [
    ['a=b', 'a:NoSchedule', 'A.com/a', '/a', 'a/', 'a/b/c', '-a', `a/${'b'.repeat(64)}`, ' '],
    'the key of a taint, such as example.com/not-ready',
  ],
};

/** Any text will do for these. */
export const FREE = [
  ...['config', 'write-config-to', 'master', 'kubeconfig', 'kube-api-content-type', 'ipvs-scheduler'],
  ...['pod-bridge-interface', 'pod-interface-name-prefix', 'machine-id-file', 'boot-id-file'],
];
