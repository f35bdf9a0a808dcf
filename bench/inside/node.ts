/** Node for measurements without a cluster. */
import { parseCIDR } from '../../src/model/address.ts';
import { Tracker } from '../../src/model/tracker.ts';

export const openTracker = (): Tracker => {
  const clusterCIDR = parseCIDR('10.200.0.0/16');
  return new Tracker({
    node: {
      nodeName: 'node1',
      bindAddress: undefined,
      detectLocalMode: 'ClusterCIDR',
      clusterCIDRs: clusterCIDR === undefined ? [] : [clusterCIDR],
      bridgeInterface: '',
      interfaceNamePrefix: '',
      nodePortAddresses: [],
      localhostNodePorts: false,
      seesLocalAddresses: false,
      seesServiceCIDRs: true,
      masqueradeBit: 14,
      masqueradeAll: false,
      dropInvalid: true,
    },
    interfaceAddresses: () => [],
  });
};
