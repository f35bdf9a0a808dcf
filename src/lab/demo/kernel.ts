/** The rules of a node as they stand in its kernel, in the words of iptables-save. */
import type { IPFamily } from '../../model/address.ts';
import type { NodeName } from '../network/plan.ts';
import type { Stage } from './stage.ts';

/** A line of the listing, with the packets that it has seen if it is a rule. */
export interface ListedRule {
  readonly text: string;
  readonly packets: number | undefined;
}

const COUNTED = /^\[(\d+):\d+\] (.*)$/;

const toListedRule = (listed: string): ListedRule => {
  const [, packets, text] = COUNTED.exec(listed) ?? [];
  if (packets !== undefined && text !== undefined) return { text, packets: Number(packets) };
  return { text: listed.replace(/ \[\d+:\d+\]$/, ''), packets: undefined }; // a chain counts only its policy
};

const TOOLS = { IPv4: 'iptables-save', IPv6: 'ip6tables-save' } as const;

/** All tables of a node in one family, without the comments, which tell the time. */
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
