/** The table as a whole: gone, or with our name and another shape. */
import { describe, expect, it } from 'vitest';
import { TABLE } from '../../../src/backends/nftables/names.ts';
import { MESSAGE } from '../../../src/nftables-json/messages.ts';
import type { Command, SetDeclaration } from '../../../src/nftables-json/schema.ts';
import { everyKind, tcp } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, FRONTEND, here, STICKY, WEB } from './vandal.ts';
import { comparable, freshListing, listingOf, NO_DRIFT, start } from './world.ts';

describe('a table that is gone', () => {
  const DROP: Command = { delete: { table: { family: 'ip', name: TABLE } } };

  /** Before the nth transaction of this program. */
  const dropBefore = (kernel: MemoryNft, number: number): void => {
    let count = 0;
    kernel.fault = () => {
      count += 1;
      // the deletion is a transaction itself
      if (count === number) kernel.run([DROP]);
      return undefined;
    };
  };

  it('is found by an audit, and is there again', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([WEB, STICKY]);
    kernel.run([DROP]);
    const { missing, changed, foreign } = await life.reconciler.audit();
    expect(missing).toContain('table');
    expect(missing).toContain(FRONTEND);
    expect({ changed, foreign }).toEqual({ changed: [], foreign: [] });
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([WEB, STICKY]));
  });

  it('in the middle of a sync is there again after it, and this is told', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([WEB, STICKY]);
    dropBefore(kernel, 1);
    const report = await life.sync([tcp('late', '10.96.0.9', ['10.200.0.9', '10.200.0.8'])]);
    expect(report.drift.missing).toContain('table');
    expect(report.drift.missing).toContain(FRONTEND);
    expect(life.refused).toEqual([]);
    expect(comparable(await listingOf(kernel))).toEqual(
      await freshListing([WEB, STICKY, tcp('late', '10.96.0.9', ['10.200.0.9', '10.200.0.8'])]),
    );
  });

  it('at any point of a start is there again after it', async () => {
    const services = everyKind('IPv4');
    const fresh = await freshListing(services);
    for (let number = 1; number <= 5; number += 1) {
      const kernel = new MemoryNft();
      const life = start(kernel);
      // a table has to be there to be deleted
      await start(kernel).sync([WEB]);
      dropBefore(kernel, number);
      await life.sync(services);
      kernel.fault = () => undefined;
      if (number > kernel.transactions.length) break;
      await life.reconciler.audit();
      expect(comparable(await listingOf(kernel)), `before transaction ${number}`).toEqual(fresh);
      expect(life.refused).toEqual([]);
    }
  });
});

describe('what has our name and another shape', () => {
  const shapes: readonly (readonly [string, readonly Command[]])[] = [
    [
      'a set of another type',
      [{ add: { set: { ...here, name: 'cluster-ips', type: 'inet_service' } } }, add('cluster-ips', 80)],
    ],
    [
      'a map of other data',
      [{ add: { map: { ...here, name: 'endpoints', type: ['ipv4_addr', 'inet_service'], map: 'ipv4_addr' } } }],
    ],
    [
      'a set of affinity with another key',
      [{ add: { set: { ...here, name: 'sticky-endpoints', type: 'ipv4_addr' } } }],
    ],
    ['a base chain that has no hook', [{ add: { chain: { ...here, name: 'filter-input' } } }]],
  ];
  const own = (commands: readonly Command[]): readonly SetDeclaration[] =>
    commands.flatMap((command) => {
      if (!('add' in command)) return [];
      if ('set' in command.add) return [command.add.set];
      return 'map' in command.add ? [command.add.map] : [];
    });

  it.each(shapes)('has the table replaced in one transaction by a program that starts: %s', async (_, commands) => {
    const kernel = new MemoryNft();
    kernel.run([{ add: { table: { family: 'ip', name: TABLE } } }, ...commands], own(commands));
    kernel.transactions.length = 0;
    const life = start(kernel);
    await life.sync([WEB, STICKY]);
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([WEB, STICKY]));
    const [first] = kernel.transactions;
    expect(first?.messages.slice(0, 2).map(({ does }) => does)).toEqual([MESSAGE.DELETE_TABLE, MESSAGE.NEW_TABLE]);
    expect(kernel.transactions).toHaveLength(1);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
  });

  it.each(shapes)('has it replaced by a program that runs: %s', async (_, commands) => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([WEB, STICKY]);
    kernel.run(
      [
        { delete: { table: { family: 'ip', name: TABLE } } },
        { add: { table: { family: 'ip', name: TABLE } } },
        ...commands,
      ],
      own(commands),
    );
    const { changed } = await life.reconciler.audit();
    expect(changed).toEqual(['table']);
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([WEB, STICKY]));
    await life.sync([tcp('late', '10.96.0.9', ['10.200.0.9'])]);
    expect(comparable(await listingOf(kernel))).toEqual(
      await freshListing([WEB, STICKY, tcp('late', '10.96.0.9', ['10.200.0.9'])]),
    );
  });
});
