/** Destinations (address and port) whose packets listed rules redirect. */
import { parseIP } from '../../model/address.ts';
import type { AddressPort } from '../../model/frontend.ts';
import { withoutComment, type XtablesChain } from './objects.ts';

const PORT = / --dport (\d+)(?= |$)/;
const ADDRESS = /(?:^| )-d ([^/\s]+)(?:\/(?:32|128))?(?= )/;

/**
 * Destinations of UDP rules: stale flows of other protocols are not cleaned. Rules for networks, or for all ports but one,
 * are no destination of a Service.
 */
export const placesOfRules = ({ table, rules }: XtablesChain): readonly AddressPort[] => {
  if (table !== 'nat') return [];
  return rules.flatMap((listed) => {
    if (!listed.includes('-p udp ')) return [];
    const rule = withoutComment(listed);
    const port = PORT.exec(rule)?.[1];
    if (port === undefined || rule.includes(' ! --dport') || rule.includes('! -d ')) return [];
    const address = ADDRESS.exec(rule)?.[1];
    if (address === undefined && rule.includes('-d ')) return [];
    const ip = address === undefined ? undefined : parseIP(address);
    return [{ ip, protocol: 'UDP' as const, port: Number(port) }];
  });
};
