/** Where rules lead packets elsewhere, from the rules as they are listed. */
import { parseIP } from '../../model/address.ts';
import type { Place } from '../../model/flows.ts';
import { type Chain, withoutComment } from './objects.ts';

const PORT = / --dport (\d+)(?= |$)/;
const ADDRESS = /(?:^| )-d ([^/\s]+)(?:\/(?:32|128))?(?= )/;

/** Of UDP alone: of other protocols nobody asks. Rules that are about networks or all ports but one lead nowhere by themselves. */
export const placesOfRules = ({ table, rules }: Chain): readonly Place[] => {
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
