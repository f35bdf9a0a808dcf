/**
 * Settings to the finished configuration: defaults filled in, those too that depend on other settings, then frozen.
 *
 * Takes settings that are already checked and finds fault with nothing.
 */
import { familyOf, joinHostPort } from '../model/address.ts';
import type {
  Config,
  ConntrackConfig,
  IpvsConfig,
  LoggingConfig,
  Profile,
  ProxyConfig,
  RunConfig,
  SyncPeriods,
} from './config.ts';
import type { FieldPath, ValueAt } from './fields.ts';
import { type Settings, settingAt } from './settings.ts';

type Get = <P extends FieldPath>(path: P) => ValueAt<P>;

const deepFreeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
};

const orUndefined = <T extends string | number>(value: T): T | undefined =>
  value === '' || value === 0 ? undefined : value;

const periods = (get: Get, group: Profile['groups']['periods']): SyncPeriods => ({
  syncPeriodMs: get(`${group}.syncPeriod`),
  minSyncPeriodMs: orUndefined(get(`${group}.minSyncPeriod`)),
});

const IPV6_OF: Readonly<Record<string, string>> = { '0.0.0.0': '::', '127.0.0.1': '::1' };

/** `ip:port`, or empty for no server. The default is of bindAddress's family; a port flag of 0 turns a server off. */
const listenAddress = (
  settings: Settings,
  path: 'healthzBindAddress' | 'metricsBindAddress',
  portPath: 'healthzPort' | 'metricsPort',
): string => {
  const port = settingAt(settings, portPath);
  if (port === 0) return '';
  const address = settingAt(settings, path);
  const isIPv6 = familyOf(settingAt(settings, 'bindAddress')) === 'IPv6';
  const ip = settings.has(path) || !isIPv6 ? address.ip : (IPV6_OF[address.ip] ?? address.ip);
  return joinHostPort(ip, address.port ?? port);
};

const logging = (get: Get): LoggingConfig => ({
  format: get('logging.format'),
  flushFrequencyMs: get('logging.flushFrequency'),
  verbosity: get('logging.verbosity'),
  vmodule: get('logging.vmodule'),
  options: {
    text: {
      splitStream: get('logging.options.text.splitStream'),
      infoBufferSize: get('logging.options.text.infoBufferSize'),
    },
    json: {
      splitStream: get('logging.options.json.splitStream'),
      infoBufferSize: get('logging.options.json.infoBufferSize'),
    },
  },
});

const ipvs = (get: Get): IpvsConfig => ({
  ...periods(get, 'ipvs'),
  scheduler: get('ipvs.scheduler'),
  excludeCIDRs: get('ipvs.excludeCIDRs'),
  strictARP: get('ipvs.strictARP'),
  tcpTimeoutMs: get('ipvs.tcpTimeout'),
  tcpFinTimeoutMs: get('ipvs.tcpFinTimeout'),
  udpTimeoutMs: get('ipvs.udpTimeout'),
});

const conntrack = (get: Get): ConntrackConfig => ({
  maxPerCore: get('conntrack.maxPerCore'),
  min: get('conntrack.min'),
  tcpEstablishedTimeoutMs: get('conntrack.tcpEstablishedTimeout'),
  tcpCloseWaitTimeoutMs: get('conntrack.tcpCloseWaitTimeout'),
  tcpBeLiberal: get('conntrack.tcpBeLiberal'),
  udpTimeoutMs: get('conntrack.udpTimeout'),
  udpStreamTimeoutMs: get('conntrack.udpStreamTimeout'),
});

const nodePortAddresses = (get: Get, { defaults }: Profile): readonly string[] => {
  const given = get('nodePortAddresses');
  return given.length === 0 ? defaults.nodePortAddresses : given;
};

const modes = (get: Get): Pick<ProxyConfig, 'mode' | Profile['groups']['periods']> => ({
  mode: get('mode'),
  iptables: {
    ...periods(get, 'iptables'),
    masqueradeBit: get('iptables.masqueradeBit'),
    masqueradeAll: get('iptables.masqueradeAll'),
    localhostNodePorts: get('iptables.localhostNodePorts'),
  },
  ipvs: ipvs(get),
  nftables: {
    ...periods(get, 'nftables'),
    masqueradeBit: get('nftables.masqueradeBit'),
    masqueradeAll: get('nftables.masqueradeAll'),
  },
});

const proxyConfig = (settings: Settings, get: Get, profile: Profile): ProxyConfig => ({
  featureGates: get('featureGates'),
  clientConnection: {
    kubeconfig: get('clientConnection.kubeconfig'),
    acceptContentTypes: get('clientConnection.acceptContentTypes'),
    contentType: get('clientConnection.contentType'),
    qps: get('clientConnection.qps'),
    burst: get('clientConnection.burst'),
  },
  logging: logging(get),
  hostnameOverride: get('hostnameOverride'),
  bindAddress: get('bindAddress'),
  healthzBindAddress: listenAddress(settings, 'healthzBindAddress', 'healthzPort'),
  metricsBindAddress: listenAddress(settings, 'metricsBindAddress', 'metricsPort'),
  bindAddressHardFail: get('bindAddressHardFail'),
  enableProfiling: get('enableProfiling'),
  showHiddenMetricsForVersion: get('showHiddenMetricsForVersion'),
  ...modes(get),
  detectLocalMode: get('detectLocalMode'),
  detectLocal: {
    bridgeInterface: get('detectLocal.bridgeInterface'),
    interfaceNamePrefix: get('detectLocal.interfaceNamePrefix'),
  },
  clusterCIDR: get('clusterCIDR'),
  nodePortAddresses: nodePortAddresses(get, profile),
  oomScoreAdj: get('oomScoreAdj'),
  conntrack: conntrack(get),
  configSyncPeriodMs: get('configSyncPeriod'),
});

const runConfig = (get: Get, profile: Profile): RunConfig => ({
  master: orUndefined(get('master')),
  cleanup: get('cleanup'),
  initOnly: get('initOnly'),
  writeConfigTo: orUndefined(get('writeConfigTo')),
  configFile: orUndefined(get('configFile')),
  profile,
  pointsman: {
    source: get('pointsman.source'),
    iptablesTool: get('pointsman.iptablesTool'),
    serviceMetrics: get('pointsman.serviceMetrics'),
    ipvsMarkMask: get('pointsman.ipvsMarkMask'),
    dryRun: get('pointsman.dryRun'),
    metricsAuthorization: get('pointsman.metricsAuthorization'),
    startupTaint: orUndefined(get('pointsman.startupTaint')),
  },
});

/** The configuration of a mode, frozen in depth. */
export const completeConfig = (settings: Settings, profile: Profile): Config => {
  const get: Get = (path) => settingAt(settings, path);
  // Freezing reaches the values, and a default is shared by every load of this process.
  return deepFreeze(structuredClone({ ...proxyConfig(settings, get, profile), ...runConfig(get, profile) }));
};
