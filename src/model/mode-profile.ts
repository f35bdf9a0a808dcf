/**
 * A proxy mode as the rest of the program knows it: one record a mode, `profile.ts` in the backend's folder. Data alone.
 *
 * Code outside the backends asks the record of a mode, never for the mode's name.
 */

/** Groups of KubeProxyConfiguration, by their keys, that settings of a mode are taken from. */
export interface ModeGroups {
  /** The group with the mode's `syncPeriod` and `minSyncPeriod`. */
  readonly periods: string;
  /** The group with the `masqueradeBit` and `masqueradeAll` that count. */
  readonly masquerade: string;
}

export interface ModeNeeds {
  /** Nothing can be written without these. */
  readonly capabilities: readonly 'CAP_NET_ADMIN'[];
  /** Further capabilities, and what is so without them. */
  readonly wanted: readonly { readonly capability: 'CAP_NET_RAW'; readonly without: string }[];
  /** Kernel modules, in the order of loading, that are not loaded by themselves when they are used. */
  readonly modules: readonly string[];
  /** Rules depend on the addresses of this node's interfaces. */
  readonly localAddresses: boolean;
  /** Rules depend on ServiceCIDR objects. */
  readonly serviceCIDRs: boolean;
}

/** Objects of a mode that are left in the kernel once another mode serves, and how they are removed. */
export interface ModeLeaving {
  /** Where the rules stand. Of two modes with the same place each removes the other's rules by its own first sync. */
  readonly place: string;
  /** Connections run through objects of the mode: these go as the connections end, and all else of the mode with them. */
  readonly drains: boolean;
  /** A path that is there while the kernel has the mode's part; without it nothing is left. Undefined: one has to read. */
  readonly presentWith: string | undefined;
}

/** kube-proxy's series that not every mode has, without their prefix `kubeproxy_`. */
export type ModeSeries =
  | 'sync_full_proxy_rules_duration_seconds'
  | 'sync_partial_proxy_rules_duration_seconds'
  | 'sync_proxy_rules_iptables_total'
  | 'sync_proxy_rules_iptables_last'
  | 'sync_proxy_rules_iptables_restore_failures_total'
  | 'sync_proxy_rules_iptables_partial_restore_failures_total'
  | 'sync_proxy_rules_nftables_sync_failures_total'
  | 'sync_proxy_rules_nftables_cleanup_failures_total';

export interface ModeMetrics {
  readonly series: readonly ModeSeries[];
  /** Unit of sync_proxy_rules_no_local_endpoints_total. */
  readonly noLocalEndpoints: 'port' | 'service';
  /** Counters of a Service's traffic that the kernel keeps. */
  readonly traffic: readonly ('connections' | 'packets' | 'bytes')[];
}

export interface ModeProfile<G extends ModeGroups = ModeGroups> {
  /** The value of --proxy-mode. */
  readonly mode: string;
  readonly needs: ModeNeeds;
  readonly groups: G;
  /** NodePorts answer on 127.0.0.1, unless the operator says otherwise. */
  readonly localhostNodePorts: boolean;
  readonly defaults: { readonly nodePortAddresses: readonly string[] };
  /** Calls of this node itself to an external address without endpoints are refused; else they leave the node. */
  readonly refusesOwnCalls: boolean;
  readonly leaving: ModeLeaving;
  readonly metrics: ModeMetrics;
}
