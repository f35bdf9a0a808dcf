/** Who has series of their own. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ownerOf, type ServicePortName } from '../../../src/model/service.ts';
import { ShownPorts } from '../../../src/observe/traffic/shown-ports.ts';

const named = (name: string): ServicePortName => ({ namespace: 'ns', name, port: 'p', protocol: 'TCP' });
const shownIn = (places: ShownPorts): readonly string[] => [...places.shown.values()].map(({ name }) => name);

const filled = (size: number, ...names: readonly string[]): ShownPorts => {
  const places = new ShownPorts(size);
  for (const name of names) places.put(named(name));
  return places;
};

describe('places', () => {
  it('are given to who comes first; others are counted', () => {
    const places = filled(2, 'a', 'b', 'c', 'd');
    expect([shownIn(places), places.omitted]).toEqual([['a', 'b'], 2]);
  });

  it('are kept by who has one, whoever comes again', () => {
    const places = filled(2, 'a', 'b', 'c');
    for (const name of ['c', 'b', 'a', 'c']) places.put(named(name));
    expect([shownIn(places), places.omitted]).toEqual([['a', 'b'], 1]);
  });

  it('go to the next one who waits, and to nobody who went meanwhile', () => {
    const places = filled(2, 'a', 'b', 'c', 'd', 'e');
    places.remove(ownerOf(named('c')));
    places.remove(ownerOf(named('a')));
    expect([shownIn(places), places.omitted]).toEqual([['b', 'd'], 1]);
    places.remove('ns/nobody:p/TCP');
    for (const name of ['b', 'd', 'e']) places.remove(ownerOf(named(name)));
    expect([shownIn(places), places.omitted]).toEqual([[], 0]);
  });

  it('are never more than there are, nor empty while somebody waits, whatever happens', () => {
    const names = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g');
    const event = fc.record({ name: names, isGone: fc.boolean() });
    fc.assert(
      fc.property(fc.nat({ max: 4 }), fc.array(event, { maxLength: 60 }), (size, events) => {
        const places = new ShownPorts(size);
        const there = new Set<string>();
        let before: readonly string[] = [];
        for (const { name, isGone } of events) {
          if (isGone) places.remove(ownerOf(named(name)));
          else places.put(named(name));
          if (isGone) there.delete(name);
          else there.add(name);
          const shown = shownIn(places);
          expect(shown.length).toBe(Math.min(size, there.size));
          expect(places.omitted).toBe(there.size - shown.length);
          expect(shown.every((one) => there.has(one))).toBe(true);
          expect(before.filter((one) => there.has(one) && !shown.includes(one))).toEqual([]);
          before = shown;
        }
      }),
    );
  });
});
