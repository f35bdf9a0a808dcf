/**
 * The one configuration of a run: complete, checked and frozen.
 *
 * Shaped like KubeProxyConfiguration v1alpha1, with its field names; a duration is a number of milliseconds under the
 * same name with the suffix `Ms`. Says what a run may rely on, not where a value came from. Settings that mean nothing on
 * Linux are accepted on the way in and are not here.
 */
import type { ModeProfile } from '../model/mode-profile.ts';
import type { DetectLocalMode } from '../model/node.ts';

export type ProxyMode = 'iptables' | 'ipvs' | 'nftables';

/** The values of --proxy-mode. */
export const PROXY_MODES: readonly ProxyMode[] = ['iptables', 'ipvs', 'nftables'];

/** Groups with sync periods; a mode may take its own from any of them. */
export const PERIOD_GROUPS = ['iptables', 'ipvs', 'nftables'] as const;

/** A mode's record, with the groups that there are in a configuration. */
export type Profile = ModeProfile<{
  readonly periods: (typeof PERIOD_GROUPS)[number];
  readonly masquerade: 'iptables' | 'nftables';
}>;

/** Gives the record of a mode. */
export type ProfileOf = (mode: ProxyMode) => Profile;

/** Where Services and endpoints come from. */
export type Source = { readonly kind: 'apiserver' } | { readonly kind: 'files'; readonly dir: string };

/** Which build of the iptables programs writes the rules. */
export type IptablesTool = 'auto' | 'nft' | 'legacy';

/** `local`: the node itself; `token`: bearers too whom the cluster admits; `strict`: the same, and for metrics too. */
export type MetricsAuthorization = 'local' | 'token' | 'strict';

/** How often a mode writes. */
export interface SyncPeriods {
  /** Time between two checks of everything; above 0. */
  readonly syncPeriodMs: number;
  /**
   * Least time between two writes. Undefined when the operator set none, or 0: a change is then written at once when
   * nothing else is going on, and changes are taken together under load. kube-proxy would wait for 1 s instead.
   */
  readonly minSyncPeriodMs: number | undefined;
}

export interface IptablesConfig extends SyncPeriods {
  /** 0 to 31. Used by mode ipvs too. */
  readonly masqueradeBit: number;
  /** Used by mode ipvs too. */
  readonly masqueradeAll: boolean;
  readonly localhostNodePorts: boolean;
}

export interface IpvsConfig extends SyncPeriods {
  /** Empty = rr. */
  readonly scheduler: string;
  /** Canonical CIDRs. */
  readonly excludeCIDRs: readonly string[];
  readonly strictARP: boolean;
  /** The three time-outs: 0 = leave the kernel's alone. */
  readonly tcpTimeoutMs: number;
  readonly tcpFinTimeoutMs: number;
  readonly udpTimeoutMs: number;
}

export interface NftablesConfig extends SyncPeriods {
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
}

/** One item of `--vmodule`. */
export interface VmoduleItem {
  readonly filePattern: string;
  readonly verbosity: number;
}

interface LogStream {
  readonly splitStream: boolean;
  /** A Kubernetes quantity: `0`, `64Ki`. */
  readonly infoBufferSize: string;
}

export interface LoggingConfig {
  readonly format: 'text' | 'json';
  readonly flushFrequencyMs: number;
  readonly verbosity: number;
  readonly vmodule: readonly VmoduleItem[];
  readonly options: { readonly text: LogStream; readonly json: LogStream };
}

/** Kernel settings of connection tracking: 0 = leave the kernel's alone. */
export interface ConntrackConfig {
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

/** The part that KubeProxyConfiguration has too. */
export interface ProxyConfig {
  readonly featureGates: Readonly<Record<string, boolean>>;
  readonly clientConnection: {
    readonly kubeconfig: string;
    readonly acceptContentTypes: string;
    readonly contentType: string;
    readonly qps: number;
    readonly burst: number;
  };
  readonly logging: LoggingConfig;
  /** As given; empty = the machine's host name. */
  readonly hostnameOverride: string;
  /** A canonical address, the node's own; nothing is bound to it. `0.0.0.0` or `::` = take the Node object's. */
  readonly bindAddress: string;
  /** `ip:port`; empty = no health server. */
  readonly healthzBindAddress: string;
  /** `ip:port`; empty = no metrics server. */
  readonly metricsBindAddress: string;
  readonly bindAddressHardFail: boolean;
  readonly enableProfiling: boolean;
  readonly showHiddenMetricsForVersion: string;
  readonly mode: ProxyMode;
  readonly iptables: IptablesConfig;
  readonly ipvs: IpvsConfig;
  readonly nftables: NftablesConfig;
  readonly detectLocalMode: DetectLocalMode;
  readonly detectLocal: { readonly bridgeInterface: string; readonly interfaceNamePrefix: string };
  /** At most one canonical CIDR a family. */
  readonly clusterCIDR: readonly string[];
  /** Canonical CIDRs, or just `primary`; empty = every local address. */
  readonly nodePortAddresses: readonly string[];
  readonly oomScoreAdj: number;
  readonly conntrack: ConntrackConfig;
  readonly configSyncPeriodMs: number;
}

/** The part that is not in the file: what the command line alone can say. */
export interface RunConfig {
  /** URL of the API server; undefined = the kubeconfig's, or the one of the cluster we run in. */
  readonly master: string | undefined;
  readonly cleanup: boolean;
  readonly initOnly: boolean;
  /** Path under which to write the effective configuration. */
  readonly writeConfigTo: string | undefined;
  /** Path of the configuration file, if there is one. */
  readonly configFile: string | undefined;
  /** The record of the mode that runs. */
  readonly profile: Profile;
  /** Settings that kube-proxy does not have. */
  readonly pointsman: {
    readonly source: Source;
    readonly iptablesTool: IptablesTool;
    /** The most service ports that have traffic metrics of their own; 0 = none. */
    readonly serviceMetrics: number;
    /** Bits of packet marks that are mode ipvs' own; the masquerade bit counts for none. */
    readonly ipvsMarkMask: number;
    readonly dryRun: boolean;
    /** Clients that the metrics server shows its guarded pages. */
    readonly metricsAuthorization: MetricsAuthorization;
    /** Key of the taint that goes once rules are in place; undefined = none. */
    readonly startupTaint: string | undefined;
  };
}

export interface Config extends ProxyConfig, RunConfig {}

/** How often the mode that runs writes. */
export const periodsOf = (config: Config): SyncPeriods => config[config.profile.groups.periods];
