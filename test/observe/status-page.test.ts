import { describe, expect, it } from 'vitest';
import { type Status, statusAnswer } from '../../src/observe/status-page.ts';

const AT = Date.parse('2026-01-01T00:00:00Z');

const STATUS: Status = {
  version: '1.2.3',
  mode: 'nftables',
  node: 'node1',
  waitingFor: undefined,
  missing: [],
  families: [
    {
      family: 'IPv4',
      healthy: true,
      lastSync: { at: AT, full: true, durationMs: 12.34, changes: { added: 7, replaced: 1, removed: 0 } },
      lastError: undefined,
      drift: { missing: 2, changed: 0, foreign: 1 },
      owners: [
        { owner: 'base', state: 'Done', since: AT, attempts: 0, message: undefined },
        { owner: 'ns/a:p/TCP', state: 'Quarantined', since: AT + 1_000, attempts: 3, message: 'no such verdict' },
      ],
    },
    {
      family: 'IPv6',
      healthy: false,
      lastSync: undefined,
      lastError: 'no permission',
      drift: { missing: 0, changed: 0, foreign: 0 },
      owners: [{ owner: 'base', state: 'Pending', since: 0, attempts: 0, message: 'no permission' }],
    },
  ],
};

const page = (search = '', accept = '', status = STATUS) =>
  statusAnswer(status, { query: new URLSearchParams(search), accept });

describe('the status page', () => {
  it('tells how each owner stands, as JSON', () => {
    const { status, headers, body } = page();
    expect([status, headers['Content-Type']]).toEqual([200, 'application/json']);
    expect(JSON.parse(body)).toEqual({
      version: '1.2.3',
      mode: 'nftables',
      node: 'node1',
      missing: [],
      families: {
        IPv4: {
          healthy: true,
          drift: { missing: 2, changed: 0, foreign: 1 },
          lastSync: {
            at: '2026-01-01T00:00:00.000Z',
            full: true,
            durationMs: 12.34,
            changes: { added: 7, replaced: 1, removed: 0 },
          },
          states: { Done: 1, Quarantined: 1 },
          owners: [
            { owner: 'base', state: 'Done', since: '2026-01-01T00:00:00.000Z', attempts: 0 },
            {
              owner: 'ns/a:p/TCP',
              state: 'Quarantined',
              since: '2026-01-01T00:00:01.000Z',
              attempts: 3,
              message: 'no such verdict',
            },
          ],
        },
        IPv6: {
          healthy: false,
          lastError: 'no permission',
          drift: { missing: 0, changed: 0, foreign: 0 },
          states: { Pending: 1 },
          owners: [{ owner: 'base', state: 'Pending', attempts: 0, message: 'no permission' }],
        },
      },
    });
  });

  it('is a table for people', () => {
    const { headers, body } = page('format=text');
    expect(headers['Content-Type']).toBe('text/plain; charset=utf-8');
    expect(body).toBe(
      [
        'pointsman 1.2.3, mode nftables, node node1',
        '',
        'IPv4: healthy, owners: 1 Done, 1 Quarantined',
        '  last sync: 2026-01-01T00:00:00.000Z, full, 12.3 ms, 7 added, 1 replaced, 0 removed',
        '  drift repaired: 2 missing, 0 changed, 1 foreign',
        '  OWNER       STATE        SINCE                     ATTEMPTS  MESSAGE',
        '  base        Done         2026-01-01T00:00:00.000Z  0',
        '  ns/a:p/TCP  Quarantined  2026-01-01T00:00:01.000Z  3         no such verdict',
        '',
        'IPv6: NOT healthy, owners: 1 Pending',
        '  last sync: none yet',
        '  failing: no permission',
        '  drift repaired: 0 missing, 0 changed, 0 foreign',
        '  OWNER  STATE    SINCE  ATTEMPTS  MESSAGE',
        '  base   Pending  -      0         no permission',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['', '', 'application/json'],
    ['', '*/*', 'application/json'],
    ['', 'text/plain', 'text/plain; charset=utf-8'],
    ['', 'application/json, text/plain', 'application/json'],
    ['format=json', 'text/plain', 'application/json'],
    ['format=text', 'application/json', 'text/plain; charset=utf-8'],
  ])('asked with %j and Accept %j it is %s', (search, accept, type) => {
    expect(page(search, accept).headers['Content-Type']).toBe(type);
  });

  it('shows owners of one state alone, if asked', () => {
    const { body } = page('format=text&state=Quarantined');
    expect(body).toContain('ns/a:p/TCP');
    expect(body).not.toContain('base');
  });

  it('says what is missing', () => {
    const missing = [{ what: 'Node n1', why: 'there is none' }];
    expect(page('format=text', '', { ...STATUS, missing }).body).toContain('\nmissing: Node n1: there is none\n');
    expect(JSON.parse(page('', '', { ...STATUS, missing }).body)).toMatchObject({ missing });
  });

  it('says what is waited for', () => {
    expect(page('format=text', '', { ...STATUS, waitingFor: 'the first list of Node' }).body).toContain(
      'nothing is written yet: waiting for the first list of Node',
    );
  });
});
