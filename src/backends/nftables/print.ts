/** Prints the table in nft's language: shared objects first, then the elements of each Service. */
import type { Section, ToolInput } from '../../dataplane/contract.ts';
import type { Command } from '../../nftables-json/schema.ts';
import { formatCommand, formatJson } from '../../nftables-json/text.ts';
import type { NftFamily } from './names.ts';
import { creation, type NftObject } from './objects.ts';
import { commandsOf } from './write.ts';

const isStructure = ({ kind }: NftObject): boolean => kind === 'table' || kind === 'set' || kind === 'chain';

/** Table, sets, chains and rules, in loading order. */
const structure = (sections: readonly Section<NftObject>[], family: NftFamily): readonly Command[] => {
  const objects = sections.flatMap((section) => section.objects.filter(isStructure));
  const changes = objects.map((object) => ({ op: 'add', object }) as const);
  return commandsOf(changes, family, () => undefined).commands.map(({ command }) => command);
};

const elements = ({ objects }: Section<NftObject>, family: NftFamily): readonly Command[] =>
  objects.filter((object) => !isStructure(object)).flatMap((object) => creation(object, family));

/** Titles come from objects that no API server may have checked: characters that end the comment are replaced. */
const comment = (title: string): string => `# ${title.replace(/[^ -~]/g, '?')}`;

export const print = (sections: readonly Section<NftObject>[], family: NftFamily): readonly ToolInput[] => {
  const lines = structure(sections, family).map(formatCommand);
  const owned = sections.flatMap((section) => {
    const commands = elements(section, family);
    return commands.length === 0 ? [] : ['', comment(section.title), ...commands.map(formatCommand)];
  });
  return [{ tool: 'nft', text: `${[...lines, ...owned].join('\n')}\n` }];
};

export const printJson = (sections: readonly Section<NftObject>[], family: NftFamily): string =>
  formatJson([...structure(sections, family), ...sections.flatMap((section) => elements(section, family))]);
