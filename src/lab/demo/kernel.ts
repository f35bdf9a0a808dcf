/** Rules of a node's kernel, as iptables-save prints them. */
import type { IPFamily } from '../../model/address.ts';
import type { NodeName } from '../network/plan.ts';
import type { Stage } from './stage.ts';

/** Line of the listing, with its packet counter when it is a rule. */
export interface ListedRule {
  readonly text: string;
  readonly packets: number | undefined;
}

const COUNTED = /^\[(\d+):\d+\] (.*)$/;

const toListedRule = (listed: string): ListedRule => {
  const [, packets, text] = COUNTED.exec(listed) ?? [];
  if (packets !== undefined && text !== undefined) return { text, packets: Number(packets) };
  return { text: listed.replace(/ \[\d+:\d+\]$/, ''), packets: undefined }; // counters of a chain are those of its policy
};

const TOOLS = { IPv4: 'iptables-save', IPv6: 'ip6tables-save' } as const;

/** Lines of all tables of a node in one family, without comments, which contain the time. */
export const readLines = async (
  { lab, signal }: Stage,
  node: NodeName,
  family: IPFamily,
): Promise<readonly ListedRule[]> => {
  const { stdout } = await lab.run(node, TOOLS[family], ['--counters'], { signal });
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(toListedRule);
};
