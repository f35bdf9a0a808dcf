/** Everything that this mode writes, tool by tool, as input of each. Pure. */
import type { Part, Section } from '../../dataplane/contract.ts';
import { printRules } from '../xtables/print.ts';
import { jumpRank } from './base.ts';
import { formatObject, type IpvsObject, type Wish } from './objects.ts';

/** In the order in which one would put them in: rules name sets, and virtual servers come last. */
const PARTS: readonly {
  readonly tool: string;
  readonly kinds: readonly Wish['kind'][];
  readonly hasComments: boolean;
}[] = [
  { tool: 'sysctl', kinds: ['sysctl'], hasComments: true },
  { tool: 'ipset', kinds: ['set', 'entry'], hasComments: true },
  { tool: 'iptables', kinds: ['chain', 'jump'], hasComments: true },
  { tool: 'ip', kinds: ['device', 'address'], hasComments: true },
  // ipvsadm -R takes no comments
  { tool: 'ipvsadm', kinds: ['virtual-server', 'real-server'], hasComments: false },
];

export const print = (sections: readonly Section<Wish>[]): readonly Part[] =>
  PARTS.map(({ tool, kinds, hasComments }) => ({
    tool,
    text: tool === 'iptables' ? printRules(sections, jumpRank) : lines(sections, kinds, hasComments).join(''),
  }));

const lines = (
  sections: readonly Section<Wish>[],
  kinds: readonly Wish['kind'][],
  hasComments: boolean,
): readonly string[] =>
  sections.flatMap(({ title, objects }) => {
    const own = kinds.flatMap((kind) => objects.filter((object) => object.kind === kind)) as readonly IpvsObject[];
    if (own.length === 0) return [];
    const heading = hasComments ? [`# ${title.replace(/[^ -~]/g, '?')}\n`] : [];
    return [...heading, ...own.map((object) => `${formatObject(object)}\n`)];
  });
