/** Prints everything that this mode writes, as input of one tool after the other. Pure. */
import type { Section, ToolInput } from '../../dataplane/contract.ts';
import { printRules } from '../xtables/print.ts';
import { jumpRank } from './base.ts';
import { type MarkSettings, PacketMarks } from './marks.ts';
import { numbered } from './numbering.ts';
import { type DesiredIpvsObject, formatObject, type NetlinkObject, withoutNames } from './objects.ts';

/** Tools in the order of loading: rules name sets, and virtual servers come last. */
const PARTS: readonly {
  readonly tool: string;
  readonly kinds: readonly DesiredIpvsObject['kind'][];
  readonly hasComments: boolean;
}[] = [
  { tool: 'sysctl', kinds: ['sysctl'], hasComments: true },
  { tool: 'ipset', kinds: ['set', 'entry'], hasComments: true },
  { tool: 'iptables', kinds: ['chain', 'jump'], hasComments: true },
  { tool: 'ip', kinds: ['device', 'address'], hasComments: true },
  // ipvsadm -R takes no comments
  { tool: 'ipvsadm', kinds: ['virtual-server', 'real-server'], hasComments: false },
];

/** Prints all sections. PacketMarks get their numbers in the order of the sections. */
export const print = (
  sections: readonly Section<DesiredIpvsObject>[],
  settings: MarkSettings,
): readonly ToolInput[] => {
  const marks = new PacketMarks(settings);
  return PARTS.map(({ tool, kinds, hasComments }) => ({
    tool,
    text: tool === 'iptables' ? printRules(sections, jumpRank) : lines(sections, kinds, hasComments, marks).join(''),
  }));
};

const lines = (
  sections: readonly Section<DesiredIpvsObject>[],
  kinds: readonly DesiredIpvsObject['kind'][],
  hasComments: boolean,
  marks: PacketMarks,
): readonly string[] =>
  sections.flatMap(({ title, objects }) => {
    const own = kinds.flatMap((kind) => objects.filter((object) => object.kind === kind)) as readonly NetlinkObject[];
    // objects without a number for their mark are not written to the kernel either
    const ready = own.flatMap((object) => numbered(object, marks) ?? []);
    if (ready.length === 0) return [];
    const heading = hasComments ? [`# ${title.replace(/[^ -~]/g, '?')}\n`] : [];
    return [...heading, ...ready.map((object) => `${formatObject(withoutNames(object))}\n`)];
  });
