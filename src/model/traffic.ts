/**
 * What becomes of a call to a service port, in words that no backend knows: by whom, to which sort of address, to which
 * endpoints, and whom they see. Backends write the rules for it; what is said here holds for all of them. Pure.
 */
import type { Endpoint } from './endpoint.ts';
import type { NodeContext } from './node.ts';
import { isExternallyAccessible } from './service.ts';
import { hasExternalEndpoints, hasInternalEndpoints, type ServiceEndpoints } from './topology.ts';

/** `pod`: as far as pods can be told from others; `node`: this one; `outside`: everybody else. */
export type Caller = 'pod' | 'node' | 'outside';

export interface Traffic {
  /** `external`: NodePort, external IPs and load-balancer IPs. */
  readonly to: 'cluster-ip' | 'external';
  readonly from: Caller;
  /** Empty where nobody answers. */
  readonly endpoints: readonly Endpoint[];
  readonly outcome: 'served' | 'refused' | 'dropped';
  /** Whose address the endpoint sees: the caller's, or this node's (masqueraded). */
  readonly seenAs: 'caller' | 'node';
}

const CALLERS: readonly Caller[] = ['pod', 'node', 'outside'];

/** Refused where there is nobody at all, dropped where there is somebody whom the policy does not admit. */
const outcomeOf = (isServed: boolean, hasAny: boolean): Traffic['outcome'] =>
  isServed ? 'served' : hasAny ? 'dropped' : 'refused';

/** Without a way to tell pods from others there is no row for pods: they count as outside. */
export const trafficOf = (service: ServiceEndpoints, node: NodeContext): readonly Traffic[] => {
  const callers = CALLERS.filter((caller) => caller !== 'pod' || node.localDetector !== undefined);
  return [
    ...callers.map((from) => toClusterIP(service, node, from)),
    ...(isExternallyAccessible(service.port) ? callers.map((from) => toExternal(service, from)) : []),
  ];
};

const toClusterIP = (service: ServiceEndpoints, node: NodeContext, from: Caller): Traffic => {
  const { port, cluster, local, hasAny } = service;
  const isServed = hasInternalEndpoints(service);
  // what comes from outside has to find back through this node
  const isMasqueraded = node.masqueradeAll || (node.localDetector !== undefined && from === 'outside');
  return {
    to: 'cluster-ip',
    from,
    endpoints: !isServed ? [] : port.internalPolicyLocal ? local : cluster,
    outcome: outcomeOf(isServed, hasAny),
    seenAs: from === 'node' || isMasqueraded ? 'node' : 'caller',
  };
};

/** Policy Local is for those outside: pods and the node are inside the cluster already, and get the cluster's endpoints. */
const toExternal = (service: ServiceEndpoints, from: Caller): Traffic => {
  const { port, cluster, local, hasAny } = service;
  const isLocal = port.externalPolicyLocal && from === 'outside';
  const isServed = isLocal ? hasExternalEndpoints(service) : hasAny;
  return {
    to: 'external',
    from,
    endpoints: !isServed ? [] : isLocal ? local : cluster,
    outcome: outcomeOf(isServed, hasAny),
    seenAs: from === 'node' || !port.externalPolicyLocal ? 'node' : 'caller',
  };
};
