/** Where the firewall stands. Pure. */
import type { ServiceEndpoints } from '../../model/topology.ts';

/** Source ranges are enforced, at the VIPs only. */
export const isRestricted = ({ port, hasAny }: ServiceEndpoints): boolean =>
  hasAny && port.loadBalancerVIPs.length > 0 && port.sourceRanges !== undefined;
