/** Events within the API's limits, whatever is told. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutNote, type EventText, eventBody, eventName } from '../../../src/sources/apiserver/event.ts';
import { BURST, EventLimits } from '../../../src/sources/apiserver/event-limits.ts';

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const AT = Date.parse('2026-01-02T03:04:05.678Z');

describe('a note', () => {
  it('is left alone up to 1,024 bytes, and cut between characters beyond', () => {
    expect(cutNote('x'.repeat(1_024))).toBe('x'.repeat(1_024));
    expect(cutNote('x'.repeat(1_025))).toBe(`${'x'.repeat(1_021)}…`);
    expect(cutNote('ä'.repeat(600))).toBe(`${'ä'.repeat(510)}…`);
    expect(cutNote('😀'.repeat(300))).toBe(`${'😀'.repeat(255)}…`);
  });

  it('is never too long, and never has half a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 200, maxLength: 800 }), (text) => {
        const cut = cutNote(text);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(1_024);
        expect(text.startsWith(cut.replace(/…$/, ''))).toBe(true);
      }),
    );
  });
});

describe('a name', () => {
  it.each(['node-1', 'n'.repeat(253), `${'n'.repeat(235)}.-x`, '10.0.0.1'])('is one, for %s', (subject) => {
    const name = eventName(subject, '0123456789abcdef');
    expect(name).toMatch(SUBDOMAIN);
    expect(name.length).toBeLessThanOrEqual(253);
    expect(name).toMatch(/\.0123456789abcdef$/);
  });
});

describe('an Event', () => {
  const event: EventText = {
    type: 'Warning',
    reason: 'R',
    action: 'A',
    note: 'n',
    regarding: { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'n1' },
  };
  const facts = { name: 'n1.0', instance: 'i'.repeat(200), firstAt: AT, series: { count: 1, lastAt: AT } };

  it('of the whole cluster stands in default, and is no series when it happened once', () => {
    const body = eventBody(event, facts);
    expect(body).toMatchObject({ metadata: { namespace: 'default' }, eventTime: '2026-01-02T03:04:05.678000Z' });
    expect(body).not.toHaveProperty('series');
    expect(body).not.toHaveProperty('related');
    expect(body.reportingInstance).toHaveLength(128);
  });

  it('of a namespace stands there, with how often it happened', () => {
    const regarding = { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web' };
    const series = { count: 3, lastAt: AT + 1_000 };
    expect(eventBody({ ...event, regarding }, { ...facts, series })).toMatchObject({
      metadata: { namespace: 'shop' },
      series: { count: 3, lastObservedTime: '2026-01-02T03:04:06.678000Z' },
    });
  });
});

describe('limits', () => {
  it('let a burst through, then one in five minutes, for each object by itself', () => {
    let now = AT;
    const limits = new EventLimits(() => now);
    const many = (object: string, count: number): number =>
      Array.from({ length: count }, () => limits.take(object)).filter(Boolean).length;
    expect(many('a', 100)).toBe(BURST);
    expect(many('b', 1)).toBe(1);
    now += 299_000;
    expect(many('a', 10)).toBe(0);
    now += 1_001;
    expect(many('a', 10)).toBe(1);
    now += 24 * 3_600_000;
    expect(many('a', 100)).toBe(BURST);
  });

  it('remember no more than a thousand objects', () => {
    const limits = new EventLimits(() => AT);
    while (limits.take('first'));
    for (let i = 0; i < 999; i += 1) limits.take(`other ${i}`);
    expect(limits.take('first')).toBe(false);
    for (let i = 0; i < 1_000; i += 1) limits.take(`another ${i}`);
    expect(limits.take('first')).toBe(true);
  });
});
