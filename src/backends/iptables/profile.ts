/** Mode iptables, as the rest of the program knows it. */
import type { ModeProfile } from '../../model/mode-profile.ts';

export const profile = {
  mode: 'iptables',
  needs: {
    capabilities: ['CAP_NET_ADMIN'],
    wanted: [
      { capability: 'CAP_NET_RAW', without: 'the iptables programs of the legacy variant do not work without it' },
    ],
    modules: ['nf_conntrack', 'ip_tables', 'ip6_tables'],
    localAddresses: false,
    serviceCIDRs: false,
  },
  groups: { periods: 'iptables', masquerade: 'iptables' },
  localhostNodePorts: true,
  defaults: { nodePortAddresses: [] },
  // only what comes in, or is forwarded, passes the chain that refuses
  refusesOwnCalls: false,
  leaving: { place: 'chains of x_tables', drains: false, presentWith: undefined },
  metrics: {
    series: [
      'sync_full_proxy_rules_duration_seconds',
      'sync_partial_proxy_rules_duration_seconds',
      'sync_proxy_rules_iptables_total',
      'sync_proxy_rules_iptables_last',
      'sync_proxy_rules_iptables_restore_failures_total',
      'sync_proxy_rules_iptables_partial_restore_failures_total',
    ],
    noLocalEndpoints: 'port',
    // rules of table nat see no more than the first packet of a connection
    traffic: ['connections'],
  },
} as const satisfies ModeProfile;
