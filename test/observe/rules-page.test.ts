import { describe, expect, it } from 'vitest';
import type { Programmed } from '../../src/dataplane/programmed.ts';
import { type FamilyRules, rulesAnswer } from '../../src/observe/rules-page.ts';

const AT = Date.parse('2026-01-01T00:00:00Z');

const WEB: Programmed = {
  status: { owner: 'ns/web:p/TCP', state: 'Shadowed', since: AT, attempts: 0, message: 'vip 1 belongs to ns/old/TCP' },
  objects: [
    {
      id: 'chain a',
      kind: 'chain',
      wanted: 'add chain a\nadd rule a drop',
      applied: [{ id: 'chain a', text: 'add chain a\nadd rule a drop' }],
      isApplied: true,
    },
    { id: 'line', kind: 'line', wanted: '-A line', applied: [{ id: 'nat TREE', text: undefined }], isApplied: true },
    { id: 'vip 1', kind: 'vip', wanted: 'to web', applied: [{ id: 'vip 1', text: 'to old' }], isApplied: false },
    { id: 'vip 2', kind: 'vip', wanted: undefined, applied: [{ id: 'vip 2', text: 'to web' }], isApplied: false },
    { id: 'vip 3', kind: 'vip', wanted: 'to web', applied: [], isApplied: false },
  ],
};

const FAMILIES: readonly FamilyRules[] = [
  { family: 'IPv4', owners: [WEB] },
  { family: 'IPv6', owners: [] },
];

const page = (search: string) => {
  const rules = (service: string) => (service === 'ns/web' ? FAMILIES : [{ family: 'IPv4' as const, owners: [] }]);
  return rulesAnswer(rules, { query: new URLSearchParams(search), accept: '' });
};

describe('the page of a Service’s rules', () => {
  it('tells what is wanted and what is there, as JSON', () => {
    const { status, body } = page('service=ns/web');
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({
      service: 'ns/web',
      families: {
        IPv4: [
          {
            ...WEB.status,
            since: '2026-01-01T00:00:00.000Z',
            objects: JSON.parse(JSON.stringify(WEB.objects)),
          },
        ],
      },
    });
  });

  it('is text for people', () => {
    const { headers, body } = page('service=ns/web&format=text');
    expect(headers['Content-Type']).toBe('text/plain; charset=utf-8');
    expect(body).toBe(
      [
        'IPv4 ns/web:p/TCP: Shadowed, since 2026-01-01T00:00:00.000Z, vip 1 belongs to ns/old/TCP',
        '  chain a: in the kernel',
        '    add chain a',
        '    add rule a drop',
        '  line: in the kernel, as nat TREE',
        '    -A line',
        '  vip 1: NOT in the kernel as wanted',
        '    wanted:',
        '      to web',
        '    in the kernel:',
        '      to old',
        '  vip 2: NOT in the kernel as wanted',
        '    not wanted any more',
        '    in the kernel:',
        '      to web',
        '  vip 3: NOT in the kernel as wanted',
        '    wanted:',
        '      to web',
        '    in the kernel: nothing',
        '',
      ].join('\n'),
    );
  });

  it.each(['', 'service=', 'service=web', 'service=ns/web:p', 'service=a/b/c', 'service=ns/'])(
    'is none for %j',
    (search) => {
      expect(page(search)).toMatchObject({ status: 400, body: 'service: expected ?service=namespace/name\n' });
    },
  );

  it('says so of a Service that is not there', () => {
    expect(page('service=ns/other')).toMatchObject({
      status: 404,
      body: 'nothing is programmed for a Service ns/other; pointsman explain ns/other says why\n',
    });
  });
});
