/**
 * Every setting there is: its path, the kind of its value, its default.
 *
 * The one table that files, flags, checks and warnings refer to. `FILE_FIELDS` is KubeProxyConfiguration v1alpha1 as of
 * kube-proxy 1.36, whose defaults these are; `LINE_FIELDS` is what the command line alone can say. Knows no flag names.
 */
import type { DetectLocalMode } from '../model/node.ts';
import { type IptablesTool, type MetricsAuthorization, PROXY_MODES, type ProxyMode, type Source } from './config.ts';
import {
  boolean,
  choice,
  cidrPair,
  cidrs,
  cidrsOrPrimary,
  decimal,
  duration,
  durationOrNanoseconds,
  integer,
  ip,
  type Kind,
  matching,
  path,
  positiveDuration,
  text,
} from './kinds.ts';
import { bitMask, gates, quantity, serverAddress, source, taintKey, vmodule } from './special-kinds.ts';

export interface Field<T> {
  readonly kind: Kind<T>;
  readonly fallback: T;
  /** In a file Go's zero value means "not given", because the field is no pointer there. */
  readonly zeroIsUnset: boolean;
}

const field = <T>(kind: Kind<T>, fallback: T): Field<T> => ({ kind, fallback, zeroIsUnset: false });
const nonZero = <T>(kind: Kind<T>, fallback: T): Field<T> => ({ kind, fallback, zeroIsUnset: true });

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const INT32_MAX = 2_147_483_647;
/** More series than anybody stores. */
const MAX_SERVICE_METRICS = 100_000;

/**
 * Packet marks of mode ipvs. Not in it: 0x80 (AWS VPC CNI), 0x2000 (CNI plugin portmap), 0x4000 (masquerade), 0x8000 (drop, of
 * kubelets up to 1.26), 0xffff0000 (Calico; Cilium's identities).
 */
const MARK_MASK = 0x1f7f;
/** Upstream speaks protobuf by default; we keep the word so that an untouched setting is recognised as such. */
const CONTENT_TYPE = 'application/vnd.kubernetes.protobuf';

const size = integer(0, INT32_MAX);
const bit = integer(0, 31);
const minorVersion = matching(/^\d+\.\d+$/, 'a minor version such as 1.35', 'version');
const nodeName = matching(/\S/, 'a node name', 'name');

export const FILE_FIELDS = {
  featureGates: field(gates, {}),
  'clientConnection.kubeconfig': field(path, ''),
  'clientConnection.acceptContentTypes': field(text, ''),
  'clientConnection.contentType': nonZero(text, CONTENT_TYPE),
  'clientConnection.qps': nonZero(decimal, 5),
  'clientConnection.burst': nonZero(size, 10),
  'logging.format': field(choice('text', 'json'), 'text'),
  'logging.flushFrequency': nonZero(durationOrNanoseconds, 5 * SECOND),
  'logging.verbosity': field(size, 0),
  'logging.vmodule': field(vmodule, []),
  'logging.options.text.splitStream': field(boolean, false),
  'logging.options.text.infoBufferSize': field(quantity, '0'),
  'logging.options.json.splitStream': field(boolean, false),
  'logging.options.json.infoBufferSize': field(quantity, '0'),
  hostnameOverride: field(nodeName, ''),
  bindAddress: field(ip, '0.0.0.0'),
  healthzBindAddress: field(serverAddress, { ip: '0.0.0.0', port: 10_256 }),
  metricsBindAddress: field(serverAddress, { ip: '127.0.0.1', port: 10_249 }),
  bindAddressHardFail: field(boolean, false),
  enableProfiling: field(boolean, false),
  showHiddenMetricsForVersion: field(minorVersion, ''),
  mode: field<ProxyMode>(choice(...PROXY_MODES), 'iptables'),
  'iptables.masqueradeBit': field(bit, 14),
  'iptables.masqueradeAll': field(boolean, false),
  'iptables.localhostNodePorts': field(boolean, true),
  'iptables.syncPeriod': nonZero(positiveDuration, 30 * SECOND),
  'iptables.minSyncPeriod': nonZero(duration, 0),
  'ipvs.syncPeriod': nonZero(positiveDuration, 30 * SECOND),
  'ipvs.minSyncPeriod': nonZero(duration, 0),
  'ipvs.scheduler': field(text, ''),
  'ipvs.excludeCIDRs': field(cidrs, []),
  'ipvs.strictARP': field(boolean, false),
  'ipvs.tcpTimeout': field(duration, 0),
  'ipvs.tcpFinTimeout': field(duration, 0),
  'ipvs.udpTimeout': field(duration, 0),
  'nftables.masqueradeBit': field(bit, 14),
  'nftables.masqueradeAll': field(boolean, false),
  'nftables.syncPeriod': nonZero(positiveDuration, 30 * SECOND),
  'nftables.minSyncPeriod': nonZero(duration, 0),
  'winkernel.networkName': field(text, ''),
  'winkernel.sourceVip': field(text, ''),
  'winkernel.enableDSR': field(boolean, false),
  'winkernel.rootHnsEndpointName': field(text, ''),
  'winkernel.forwardHealthCheckVip': field(boolean, false),
  detectLocalMode: field<DetectLocalMode>(
    choice('ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'),
    'ClusterCIDR',
  ),
  'detectLocal.bridgeInterface': field(text, ''),
  'detectLocal.interfaceNamePrefix': field(text, ''),
  clusterCIDR: field(cidrPair, []),
  nodePortAddresses: field(cidrsOrPrimary, []),
  oomScoreAdj: field(integer(-1_000, 1_000), -999),
  'conntrack.maxPerCore': field(size, 32_768),
  'conntrack.min': field(size, 131_072),
  'conntrack.tcpEstablishedTimeout': field(duration, 24 * HOUR),
  'conntrack.tcpCloseWaitTimeout': field(duration, HOUR),
  'conntrack.tcpBeLiberal': field(boolean, false),
  'conntrack.udpTimeout': field(duration, 0),
  'conntrack.udpStreamTimeout': field(duration, 0),
  configSyncPeriod: nonZero(positiveDuration, 15 * MINUTE),
  portRange: field(text, ''),
  windowsRunAsService: field(boolean, false),
  // Gone from kube-proxy, and still in files that were written for older ones.
  resourceContainer: field(text, ''),
  udpIdleTimeout: field(duration, 0),
} satisfies Readonly<Record<string, Field<unknown>>>;

export const LINE_FIELDS = {
  configFile: field(path, ''),
  writeConfigTo: field(path, ''),
  cleanup: field(boolean, false),
  initOnly: field(boolean, false),
  version: field(matching(/^(true|false|raw|v\d+\.\d+\.\d+\S*)$/, 'true, false, raw or vX.Y.Z', 'raw|vX.Y.Z'), 'false'),
  master: field(text, ''),
  healthzPort: field(integer(0, 65_535), 10_256),
  metricsPort: field(integer(0, 65_535), 10_249),
  machineIdFile: field(text, ''),
  bootIdFile: field(text, ''),
  'pointsman.source': field<Source>(source, { kind: 'apiserver' }),
  'pointsman.iptablesTool': field<IptablesTool>(choice('auto', 'nft', 'legacy'), 'auto'),
  'pointsman.serviceMetrics': field(integer(0, MAX_SERVICE_METRICS), 0),
  'pointsman.ipvsMarkMask': field(bitMask, MARK_MASK),
  'pointsman.metricsAuthorization': field<MetricsAuthorization>(choice('local', 'token', 'strict'), 'token'),
  'pointsman.dryRun': field(boolean, false),
  'pointsman.startupTaint': field(taintKey, ''),
} satisfies Readonly<Record<string, Field<unknown>>>;

const FIELDS = { ...FILE_FIELDS, ...LINE_FIELDS };

export type FieldPath = keyof typeof FIELDS;

export type ValueAt<P extends FieldPath> = (typeof FIELDS)[P] extends Field<infer T> ? T : never;

export const fieldAt = (at: FieldPath): Field<unknown> => FIELDS[at];

export const FILE_PATHS = Object.keys(FILE_FIELDS) as readonly (keyof typeof FILE_FIELDS)[];

export const fallbackAt = <P extends FieldPath>(at: P): ValueAt<P> => FIELDS[at].fallback as ValueAt<P>;
