/** What a dump prints: the whole table, which a kernel takes as it is. */
import { describe, expect, it } from 'vitest';
import { nftablesBackend } from '../../../src/backends/nftables/index.ts';
import { declarations, nftFamily } from '../../../src/backends/nftables/names.ts';
import { compileAll } from '../../../src/dataplane/report.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import type { Command, SetDeclaration } from '../../../src/nftables-json/schema.ts';
import { formatCommand } from '../../../src/nftables-json/text.ts';
import { input } from '../../dataplane/fake-backend.ts';
import { everyKind, FAMILIES, nodeOf, tcp } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { commandsIn } from './walker.ts';
import { listingOf, start } from './world.ts';

const dump = (services: readonly ServiceEndpoints[], family: IPFamily) => {
  const backend = nftablesBackend({ family });
  const { sections } = compileAll(backend, input(services, [], nodeOf(family)));
  return { text: backend.print(sections)[0]?.text ?? '', commands: commandsIn(backend.printJson?.(sections) ?? '') };
};

/** As this program has commands: the first of JSON is nobody's, and a map's data may be told by an expression there. */
const plain = (commands: readonly Command[], family: IPFamily): readonly Command[] => {
  const known = new Map(declarations(nftFamily(family)).map((set) => [set.name, set]));
  return commands.slice(1).map((command): Command => {
    if (!('add' in command && 'map' in command.add)) return command;
    const { map } = command.add;
    return { add: { map: known.get(map.name) ?? map } };
  });
};

const setsIn = (commands: readonly Command[]): readonly SetDeclaration[] =>
  commands.flatMap((command) => ('add' in command && 'set' in command.add ? [command.add.set] : []));

describe.each(FAMILIES)('%s: a dump', (family) => {
  const services = everyKind(family);

  it('in JSON makes the very table that the program makes', async () => {
    const { commands } = dump(services, family);
    const printed = new MemoryNft();
    const own = plain(commands, family);
    printed.run(own, setsIn(own));
    const written = new MemoryNft();
    await start(written, family).sync(services);
    expect(await listingOf(printed, nftFamily(family))).toEqual(await listingOf(written, nftFamily(family)));
  });

  it('says the same in text as in JSON', () => {
    const { text, commands } = dump(services, family);
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines).toEqual(plain(commands, family).map(formatCommand));
  });

  it('does not depend on the order of Services', () => {
    const [one, other] = [dump(services, family), dump([...services].reverse(), family)];
    const sorted = ({ text }: { readonly text: string }): readonly string[] => text.split('\n').sort();
    expect(sorted(other)).toEqual(sorted(one));
  });
});

it('a title does not end its comment', () => {
  const backend = nftablesBackend({ family: 'IPv4' });
  const { objects } = backend.compile(tcp('web', '10.96.0.1', ['10.200.0.1']), nodeOf('IPv4'));
  const [part] = backend.print([{ title: 'a\nflush ruleset\r\u2028ü', objects }]);
  expect(part?.text.split('\n').filter((line) => line.startsWith('#'))).toEqual(['# a?flush ruleset???']);
  expect(part?.text).not.toMatch(/^flush/m);
});

it('a backend that was made for a dump has no kernel', async () => {
  const backend = nftablesBackend({ family: 'IPv4' });
  const { signal } = new AbortController();
  await expect(backend.read(signal)).rejects.toThrow('made for a dump');
  await expect(backend.apply({ payload: { changes: [] }, ids: [] }, signal)).rejects.toThrow('made for a dump');
});
