import { describe, expect, it } from 'vitest';
import { differencesOf, differencesText, isDifference } from '../../src/commands/difference.ts';
import type { KernelObject } from '../../src/dataplane/contract.ts';
import { KernelState } from '../../src/dataplane/state.ts';

const object = (id: string, content: string, more: Partial<KernelObject> = {}): KernelObject => ({
  kind: 'chain',
  id,
  content,
  ...more,
});

const byId = (...objects: readonly KernelObject[]) => new Map(objects.map((one) => [one.id, one]));

/** The tool has no word for what comes after a bar. */
const backend = { format: ({ id, content }: KernelObject) => `:${id}\n${content.replace(/\|.*/s, '')}` };

const stateOf = (owners: Readonly<Record<string, readonly KernelObject[]>>): KernelState<KernelObject> => {
  const state = new KernelState<KernelObject>(undefined);
  for (const [owner, objects] of Object.entries(owners)) state.stage(owner, { owner, since: 0, objects });
  return state;
};

describe('differences', () => {
  const state = stateOf({
    'ns/b/TCP': [object('b1', 'x')],
    base: [object('z', 'x'), object('same', 'x')],
    'ns/a/TCP': [object('a2', 'x'), object('a1', 'x\ny\nz')],
  });
  const found = byId(
    object('same', 'x'),
    object('a1', 'x\nz\nw'),
    object('foreign', 'x'),
    object('kept', 'x', { stays: true }),
  );

  it('stand by owner, what nobody wants last; what stays is none', () => {
    const all = differencesOf(backend, state, found);
    expect(all.map(({ op, owner, id }) => `${op} ${id} of ${owner}`)).toEqual([
      'add z of base',
      'replace a1 of ns/a/TCP',
      'add a2 of ns/a/TCP',
      'add b1 of ns/b/TCP',
      'remove foreign of undefined',
    ]);
    expect(all[1]).toMatchObject({ kind: 'chain', found: ':a1\nx\nz\nw', wanted: ':a1\nx\ny\nz' });
  });

  it('are told line by line', () => {
    const text = differencesText('IPv4', differencesOf(backend, state, found));
    expect(text).toBe(
      [
        '# IPv4: 5 differences',
        '# base',
        '+ z',
        '+   :z',
        '+   x',
        '# ns/a/TCP',
        '~ a1',
        '-   w',
        '+   y',
        '    (3 lines as wanted)',
        '+ a2',
        '+   :a2',
        '+   x',
        '# ns/b/TCP',
        '+ b1',
        '+   :b1',
        '+   x',
        '# wanted by nobody',
        '- foreign',
        '-   :foreign',
        '-   x',
        '',
      ].join('\n'),
    );
  });

  const only = (was: string, is: string): readonly string[] =>
    differencesText('IPv4', differencesOf(backend, stateOf({ 'ns/a/TCP': [object('a', is)] }), byId(object('a', was))))
      .split('\n')
      .slice(2);

  it('of the order alone are told as a whole', () => {
    expect(only('x\ny', 'y\nx')).toEqual(['~ a', '-   :a', '-   x', '-   y', '+   :a', '+   y', '+   x', '']);
  });

  it('of how often a line is there are told', () => {
    expect(only('x\nx', 'x')).toEqual(['~ a', '-   x', '    (2 lines as wanted)', '']);
  });

  it('that the tool has no word for are told in the kernel’s', () => {
    expect(only('x|of another shape', 'x|as wanted')).toEqual(['~ a', '-   x|of another shape', '+   x|as wanted', '']);
  });

  it('cannot disturb a terminal', () => {
    expect(only('x', '\u001b[2Jy').join()).toContain('+   ?[2Jy');
  });

  it('that are none are said to be none', () => {
    expect(differencesText('IPv4', [])).toBe('# IPv4: no difference\n');
  });
});

describe('what leaves by itself', () => {
  const state = stateOf({ 'ns/a/TCP': [object('a', 'x')] });
  const draining = object('server 10.0.0.1', 'w 0', { leaves: true });

  it('is named, and no difference', () => {
    const all = differencesOf(backend, state, byId(object('a', 'x'), draining));
    expect(all.map(({ op, owner, id }) => `${op} ${id} of ${owner}`)).toEqual(['leave server 10.0.0.1 of undefined']);
    expect(all.some(isDifference)).toBe(false);
    expect(differencesText('IPv4', all)).toBe(
      '# IPv4: no difference\n# draining, until their connections end\n  server 10.0.0.1\n',
    );
  });

  it('is a difference where it is wanted', () => {
    const wanted = stateOf({ 'ns/a/TCP': [object(draining.id, 'w 1')] });
    expect(differencesOf(backend, wanted, byId(draining)).map(({ op }) => op)).toEqual(['replace']);
  });

  it('stands after the differences', () => {
    const text = differencesText('IPv4', differencesOf(backend, state, byId(draining)));
    expect(text).toMatch(
      /^# IPv4: 1 difference\n[\s\S]*\n# draining, until their connections end\n {2}server 10\.0\.0\.1\n$/,
    );
  });
});
