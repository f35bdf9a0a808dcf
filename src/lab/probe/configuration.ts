/** Configuration of a proxy on node1 that is measured while its configuration changes. JSON, which is YAML. */
export interface MeasuredConfiguration {
  readonly kubeconfig: string;
  /** Mode whose settings have a group of its name. */
  readonly mode: string;
  /** Duration such as `30s`. */
  readonly syncPeriod: string;
}

export const measuredConfiguration = ({ kubeconfig, mode, syncPeriod }: MeasuredConfiguration): string =>
  JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    clientConnection: { kubeconfig },
    clusterCIDR: '10.200.0.0/16',
    hostnameOverride: 'node1',
    nodePortAddresses: ['0.0.0.0/0', '::/0'],
    logging: { verbosity: 2 },
    conntrack: { maxPerCore: 0 },
    [mode]: { syncPeriod },
  });
