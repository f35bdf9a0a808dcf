/** What traffic of each class finds at a service port: somebody to lead to, a refusal, or a drop. Pure. */
import type { ServiceEndpoints } from '../../model/topology.ts';

export const hasInternalEndpoints = ({ port, hasAny, local }: ServiceEndpoints): boolean =>
  hasAny && (!port.internalPolicyLocal || local.length > 0);

export const hasExternalEndpoints = ({ port, hasAny, local }: ServiceEndpoints): boolean =>
  hasAny && (!port.externalPolicyLocal || local.length > 0);

/** Source ranges are enforced, at the VIPs only. */
export const isRestricted = ({ port, hasAny }: ServiceEndpoints): boolean =>
  hasAny && port.loadBalancerVIPs.length > 0 && port.sourceRanges !== undefined;
