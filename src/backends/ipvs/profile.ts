/** Mode ipvs, as the rest of the program knows it. */
import type { ModeProfile } from '../../model/mode-profile.ts';

export const profile = {
  mode: 'ipvs',
  needs: {
    capabilities: ['CAP_NET_ADMIN'],
    wanted: [
      { capability: 'CAP_NET_RAW', without: 'the iptables programs of the legacy variant do not work without it' },
    ],
    modules: ['nf_conntrack', 'ip_tables', 'ip6_tables', 'ip_vs', 'dummy'],
    localAddresses: true,
    serviceCIDRs: false,
  },
  // masquerades by the settings of iptables, as in kube-proxy
  groups: { periods: 'ipvs', masquerade: 'iptables' },
  localhostNodePorts: false,
  defaults: { nodePortAddresses: [] },
  refusesOwnCalls: true,
  // a connection runs through its virtual server; to look for leftovers nobody needs to load IPVS
  leaving: { place: 'chains of x_tables', drains: true, presentWith: '/proc/net/ip_vs' },
  metrics: {
    series: ['sync_proxy_rules_iptables_restore_failures_total'],
    noLocalEndpoints: 'service',
    traffic: ['connections', 'packets', 'bytes'],
  },
} as const satisfies ModeProfile;
