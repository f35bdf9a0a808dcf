/** Changes to transactions, and their commands in an order that a kernel takes. */
import { describe, expect, it } from 'vitest';
import { base } from '../../../src/backends/nftables/base.ts';
import { compile } from '../../../src/backends/nftables/compile.ts';
import type { InstalledFrontend } from '../../../src/backends/nftables/members.ts';
import {
  chain,
  DORMANT,
  element,
  frontendElements,
  type NftObject,
  OTHER_SHAPE,
  set,
  table,
} from '../../../src/backends/nftables/objects.ts';
import { type NftChange, plan } from '../../../src/backends/nftables/plan.ts';
import { commandsOf } from '../../../src/backends/nftables/write.ts';
import { concat, goto } from '../../../src/nftables-json/construct.ts';
import type { Command } from '../../../src/nftables-json/schema.ts';
import { formatCommand } from '../../../src/nftables-json/text.ts';
import { nodeOf, tcp } from '../ipvs/world.ts';

const add = (object: NftObject): NftChange => ({ op: 'add', object });
const remove = (object: NftObject): NftChange => ({ op: 'remove', object });
const replace = (object: NftObject): NftChange => ({ op: 'replace', object, previous: object });

const here = { family: 'ip', table: 'kube-proxy' } as const;
const pick = (n: number, ...to: readonly string[]): NftObject =>
  chain(
    { ...here, name: `pick-${n}` },
    to.map((name) => [goto(name)]),
  );
const sticky = set({ ...here, name: 'sticky-60', type: ['ipv4_addr', 'inet_service'] });
const ip = (n: number): NftObject => element({ set: 'cluster-ips', element: `10.96.0.${n}` });
const web = (n: number, endpoints: number): NftObject => {
  const targets = Array.from({ length: endpoints }, (_, i) => `10.200.${i >> 8}.${i & 255} . 80`);
  return frontendElements('ip', concat(`10.96.0.${n}`, 'tcp', 80), [], new Map([['endpoints', targets]]));
};

const shape = (changes: readonly NftChange[]): readonly (readonly string[])[] =>
  plan(changes).map(({ payload, ids }) => {
    expect(ids).toEqual(payload.changes.map(({ object }) => object.id));
    return payload.changes.map(({ op, object }) => `${op} ${object.id}`);
  });

describe('a plan', () => {
  it('of nothing is nothing', () => {
    expect(plan([])).toEqual([]);
  });

  it('of a few changes is one transaction: structure, what is kept, what goes', () => {
    expect(shape([remove(web(1, 1)), add(ip(2)), replace(web(2, 1)), add(pick(1)), remove(ip(1))])).toEqual([
      [
        'add chain pick-1',
        'add element cluster-ips { 10.96.0.2 }',
        'replace frontend 10.96.0.2 . tcp . 80',
        'remove frontend 10.96.0.1 . tcp . 80',
        'remove element cluster-ips { 10.96.0.1 }',
      ].map((line) => line.replace(/ \{ (.*) \}/, ' $1')),
    ]);
  });

  it('removes chains and sets by themselves, at last', () => {
    expect(shape([remove(pick(1)), remove(sticky), remove(web(1, 1)), add(ip(1)), replace(pick(2))])).toEqual([
      ['replace chain pick-2', 'add element cluster-ips 10.96.0.1', 'remove frontend 10.96.0.1 . tcp . 80'],
      ['remove chain pick-1', 'remove set sticky-60'],
    ]);
    expect(shape([remove(pick(1))])).toEqual([['remove chain pick-1']]);
  });

  it('has at most five hundred elements in a transaction, and loses none', () => {
    const changes = [
      ...Array.from({ length: 60 }, (_, n) => add(web(n, 250))),
      ...Array.from({ length: 12_000 }, (_, n) =>
        add(element({ set: 'cluster-ips', element: `10.${n >> 8}.${n & 255}.1` })),
      ),
    ];
    const batches = plan([...changes, add(table('ip'))]);
    expect(batches.length).toBe(54);
    expect(batches[0]?.ids[0]).toBe('table');
    for (const { payload } of batches) {
      const { commands } = commandsOf(payload.changes, 'ip', () => undefined);
      const elements = commands.flatMap(({ command }) => elementsIn(command));
      expect(elements.length).toBeLessThanOrEqual(500);
    }
    const ids = new Set(batches.flatMap((batch) => batch.ids));
    expect(ids).toEqual(new Set(['table', ...changes.map(({ object }) => object.id)]));
  });

  it('puts a frontend larger than that into a transaction of its own', () => {
    expect(shape([add(ip(1)), add(web(1, 1_200)), add(ip(2))])).toEqual([
      ['add element cluster-ips 10.96.0.1'],
      ['add frontend 10.96.0.1 . tcp . 80'],
      ['add element cluster-ips 10.96.0.2'],
    ]);
  });

  it('needs no more than one command for that, and does not ask what each frontend holds', () => {
    const changes = [remove(table('ip')), ...Array.from({ length: 100 }, (_, n) => remove(web(n, 5)))];
    const { commands, installed: held } = commandsOf(changes, 'ip', () => {
      throw new Error('asked');
    });
    expect(commands.map(({ command }) => command)).toEqual([{ delete: { table: table('ip').declaration } }]);
    expect(held.size).toBe(0);
  });

  it('removes the table with all that is in it, at once', () => {
    expect(shape([remove(web(1, 1)), remove(pick(1)), remove(table('ip'))])).toHaveLength(1);
  });

  it('replaces the table with all that is wanted, at once, and what was in it need not be removed', () => {
    const many = Array.from({ length: 60 }, (_, n) => add(web(n, 250)));
    const [only, ...others] = plan([
      remove(pick(1)),
      { op: 'replace', object: table('ip'), previous: table('ip', OTHER_SHAPE) },
      ...many,
    ]);
    expect(others).toEqual([]);
    expect(only?.ids).toHaveLength(61);
    expect(only?.ids).not.toContain('chain pick-1');
  });

  it('puts a table on its hooks again before anything else, and leaves it where it is', () => {
    const awake: NftChange = { op: 'replace', object: table('ip'), previous: table('ip', DORMANT) };
    expect(plan([remove(pick(1)), add(pick(2)), awake]).map(({ ids }) => ids)).toEqual([
      ['table'],
      ['chain pick-2'],
      ['chain pick-1'],
    ]);
    expect(textOf([awake])).toEqual(['add table ip kube-proxy']);
  });
});

const elementsIn = (command: Command): readonly unknown[] => {
  if ('add' in command && 'element' in command.add) return command.add.element.elem;
  return 'delete' in command && 'element' in command.delete ? command.delete.element.elem : [];
};

const textOf = (changes: readonly NftChange[], held?: InstalledFrontend): readonly string[] =>
  commandsOf(changes, 'ip', () => held).commands.map(({ command }) =>
    formatCommand(command).replaceAll('ip kube-proxy ', ''),
  );

describe('commands', () => {
  it('have sets before chains, chains before rules, rules before elements, removals at last', () => {
    expect(
      textOf([add(web(1, 1)), remove(ip(9)), add(pick(1, 'pick-2')), add(pick(2)), add(sticky), add(table('ip'))]),
    ).toEqual([
      'add table ip kube-proxy',
      'add set sticky-60 { type ipv4_addr . inet_service ; }',
      'add chain pick-1',
      'add chain pick-2',
      'add rule pick-1 goto pick-2',
      'add element endpoints { 10.96.0.1 . tcp . 80 . 0 : 10.200.0.0 . 80 }',
      'delete element cluster-ips { 10.96.0.9 }',
    ]);
  });

  it('empty a chain before it gets other rules', () => {
    expect(textOf([replace(pick(1, 'pick-2'))])).toEqual([
      'add chain pick-1',
      'flush chain pick-1',
      'add rule pick-1 goto pick-2',
    ]);
  });

  it('empty all chains that go, then delete them, then the sets', () => {
    expect(textOf([remove(sticky), remove(pick(1)), remove(pick(2))])).toEqual([
      'flush chain pick-1',
      'flush chain pick-2',
      'delete chain pick-1',
      'delete chain pick-2',
      'delete set sticky-60',
    ]);
  });

  it('delete what a frontend holds and does not want before they add what it wants', () => {
    const held: InstalledFrontend = {
      members: [],
      slots: new Map([['endpoints', ['10.200.0.9 . 80', '10.200.0.0 . 80', '10.200.0.8 . 80']]]),
    };
    expect(textOf([replace(web(1, 2))], held)).toEqual([
      'delete element endpoints { 10.96.0.1 . tcp . 80 . 0 : 10.200.0.9 . 80, 10.96.0.1 . tcp . 80 . 2 : 10.200.0.8 . 80 }',
      'add element endpoints { 10.96.0.1 . tcp . 80 . 0 : 10.200.0.1 . 80 }',
    ]);
  });

  it('of a table that goes are one, whatever was in it', () => {
    expect(textOf([remove(pick(1)), remove(web(1, 1)), remove(table('ip'))])).toEqual(['delete table ip kube-proxy']);
  });

  it('of a table that is replaced write everything anew: nothing is held any more', () => {
    const held: InstalledFrontend = { members: [], slots: new Map([['endpoints', ['10.200.0.0 . 80']]]) };
    const { commands, installed: after } = commandsOf(
      [replace(table('ip', OTHER_SHAPE)), add(web(1, 1))],
      'ip',
      () => held,
    );
    expect(commands.map(({ command }) => formatCommand(command))).toEqual([
      'delete table ip kube-proxy',
      'add table ip kube-proxy',
      'add element ip kube-proxy endpoints { 10.96.0.1 . tcp . 80 . 0 : 10.200.0.0 . 80 }',
    ]);
    expect(after.get('frontend 10.96.0.1 . tcp . 80')).toEqual(held);
  });

  it('each know whose they are', () => {
    const node = nodeOf('IPv4');
    const objects = [
      ...base(node).objects,
      ...compile(tcp('web', '10.96.0.1', ['10.200.0.1'], { affinitySeconds: 60 }), node).objects,
    ];
    const { commands, installed: held } = commandsOf(objects.map(add), 'ip', () => undefined);
    const ids = new Set(objects.map(({ id }) => id));
    expect(commands.filter(({ id }) => !ids.has(id))).toEqual([]);
    expect(new Set(commands.map(({ id }) => id))).toEqual(ids);
    expect([...held.keys()]).toEqual(['frontend 10.96.0.1 . tcp . 80']);
  });
});
