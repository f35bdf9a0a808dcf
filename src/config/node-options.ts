/**
 * Options of the configuration that shape rules, in the model's words.
 *
 * Pure. Does not find out the node's name.
 */
import { parseCIDR } from '../model/address.ts';
import type { NodeOptions } from '../model/node.ts';
import type { Config } from './config.ts';

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** The options of the active mode. */
export const nodeOptions = (config: Config, nodeName: string): NodeOptions => {
  const { profile } = config;
  const { masqueradeBit, masqueradeAll } = config[profile.groups.masquerade];
  return {
    nodeName,
    bindAddress: UNSPECIFIED.has(config.bindAddress) ? undefined : config.bindAddress,
    detectLocalMode: config.detectLocalMode,
    clusterCIDRs: config.clusterCIDR.flatMap((text) => parseCIDR(text) ?? []),
    bridgeInterface: config.detectLocal.bridgeInterface,
    interfaceNamePrefix: config.detectLocal.interfaceNamePrefix,
    nodePortAddresses: config.nodePortAddresses,
    // as in kube-proxy not every mode has them
    localhostNodePorts: profile.localhostNodePorts && config.iptables.localhostNodePorts,
    seesLocalAddresses: profile.needs.localAddresses,
    seesServiceCIDRs: profile.needs.serviceCIDRs,
    masqueradeBit,
    masqueradeAll,
    dropInvalid: !config.conntrack.tcpBeLiberal,
  };
};
