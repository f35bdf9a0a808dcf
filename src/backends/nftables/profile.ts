/** Mode nftables, as the rest of the program knows it. */
import type { ModeProfile } from '../../model/mode-profile.ts';

export const profile = {
  mode: 'nftables',
  needs: {
    capabilities: ['CAP_NET_ADMIN'],
    wanted: [],
    modules: ['nf_conntrack', 'nf_tables'],
    localAddresses: false,
    serviceCIDRs: true,
  },
  groups: { periods: 'nftables', masquerade: 'nftables' },
  localhostNodePorts: false,
  // the node's own address only, unless the operator says otherwise
  defaults: { nodePortAddresses: ['primary'] },
  refusesOwnCalls: true,
  leaving: { place: 'tables of nf_tables', drains: false, presentWith: undefined },
  metrics: {
    series: [
      'sync_full_proxy_rules_duration_seconds',
      'sync_partial_proxy_rules_duration_seconds',
      'sync_proxy_rules_nftables_sync_failures_total',
      'sync_proxy_rules_nftables_cleanup_failures_total',
    ],
    noLocalEndpoints: 'port',
    traffic: ['connections', 'packets', 'bytes'],
  },
} as const satisfies ModeProfile;
