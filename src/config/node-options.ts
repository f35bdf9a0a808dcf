/**
 * What of the configuration shapes rules, in the model's words.
 *
 * Pure. Does not find out the node's name.
 */
import { parseCIDR } from '../model/address.ts';
import type { NodeOptions } from '../model/node.ts';
import type { Config } from './config.ts';

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** The options of the active mode. Mode ipvs masquerades by the settings of iptables, as in kube-proxy. */
export const nodeOptions = (config: Config, nodeName: string): NodeOptions => {
  const { masqueradeBit, masqueradeAll } = config.mode === 'nftables' ? config.nftables : config.iptables;
  return {
    nodeName,
    bindAddress: UNSPECIFIED.has(config.bindAddress) ? undefined : config.bindAddress,
    detectLocalMode: config.detectLocalMode,
    clusterCIDRs: config.clusterCIDR.flatMap((text) => parseCIDR(text) ?? []),
    bridgeInterface: config.detectLocal.bridgeInterface,
    interfaceNamePrefix: config.detectLocal.interfaceNamePrefix,
    nodePortAddresses: config.nodePortAddresses,
    // as in kube-proxy the other modes have none
    localhostNodePorts: config.mode === 'iptables' && config.iptables.localhostNodePorts,
    seesLocalAddresses: config.mode === 'ipvs',
    seesServiceCIDRs: config.mode === 'nftables',
    masqueradeBit,
    masqueradeAll,
    dropInvalid: !config.conntrack.tcpBeLiberal,
  };
};
