/** Whole lists: taken over piece by piece, and next to nothing to do where they bring what is known. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ownerOf } from '../../src/model/service.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { follow, work } from './follower.ts';
import { type Fields, NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from './objects.ts';

const at = (version: string, object: Fields): Fields => ({
  ...object,
  metadata: { ...(object.metadata as Fields), resourceVersion: version },
});

/** The same object, and how often anybody looked at what it says. */
const watched = (object: Fields): { readonly object: Fields; readonly reads: () => number } => {
  let reads = 0;
  const get = (target: Fields, field: string): unknown => {
    if (field === 'spec' || field === 'endpoints') reads += 1;
    return target[field];
  };
  return { object: new Proxy(object, { get: (target, field) => get(target, String(field)) }), reads: () => reads };
};

describe('a list that is taken over piece by piece', () => {
  const names = ['ns/a', 'ns/b', 'ns/c'];

  it('is no list before its end', () => {
    const tracker = new Tracker({ node: NODE_OPTIONS });
    for (const kind of ['EndpointSlice', 'Node'] as const) tracker.replace(kind, kind === 'Node' ? [nodeObject()] : []);
    const steps = tracker.replacing(
      'Service',
      names.map((name) => serviceObject(name)),
    );
    while (steps.next().done !== true) {
      if (tracker.serviceCount < names.length) expect(tracker.waitingFor()).toBe('the first list of Service');
    }
    expect(tracker.waitingFor()).toBeUndefined();
  });

  it('takes nothing away that stays, whenever work is taken meanwhile; what goes does at the end', () => {
    const version = fc.constantFrom('5', '6', '7');
    const some = fc.dictionary(fc.constantFrom(...names, 'ns/d'), version);
    fc.assert(
      fc.property(some, some, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), (before, after, takes) => {
        const objects = (versions: Readonly<Record<string, string>>): readonly Fields[] =>
          Object.entries(versions).map(([name, v]) =>
            at(v, serviceObject(name, { ports: [{ name: 'p', port: Number(v) }] })),
          );
        const follower = follow({ Service: objects(before) });
        follower.takeAll();
        const lost: string[] = [];
        const steps = follower.tracker.replacing('Service', objects(after));
        for (let i = 0; steps.next().done !== true; i++) if (takes[i] === true) lost.push(...follower.take().gone);
        lost.push(...follower.take().gone);
        const gone = Object.keys(before).filter((name) => !(name in after));
        expect(lost.sort()).toEqual(gone.map((name) => `${name}:p/TCP`).sort());
        const known = [...follower.known().values()].map(({ port }) => `${ownerOf(port.name)} ${port.port}`);
        expect(known.sort()).toEqual(
          Object.entries(after)
            .map(([name, v]) => `${name}:p/TCP ${v}`)
            .sort(),
        );
      }),
    );
  });
});

describe('a list after a list', () => {
  const web = (version: string, spec: Fields = {}): Fields => at(version, serviceObject('ns/web', spec));
  const MOVED = { clusterIP: '10.96.0.99' };
  const move = ['ns/web:p/TCP:'];

  it('does not read again what is there in the same version', () => {
    const [service, slice] = [watched(web('10')), watched(at('11', sliceObject('ns/web-1', ['10.200.0.11'])))];
    const follower = follow({ Service: [service.object], EndpointSlice: [slice.object] });
    follower.takeAll();
    const before = [service.reads(), slice.reads()];
    expect(Math.min(...before)).toBeGreaterThan(0);
    follower.tracker.replace('Service', [service.object]);
    follower.tracker.replace('EndpointSlice', [slice.object]);
    expect([service.reads(), slice.reads()]).toEqual(before);
    expect(follower.tracker.hasWork('IPv4')).toBe(false);
  });

  it.each([
    ['has another version', web('10'), web('12', MOVED)],
    ['has no version', web(''), web('', MOVED)],
    ['has a version that is none', web('x'), web('x', MOVED)],
  ])('reads what %s', (_, before, after) => {
    const follower = follow({ Service: [before] });
    follower.takeAll();
    follower.tracker.replace('Service', [after]);
    expect(work(follower)).toEqual(move);
  });

  it('reads everything where the server went back: it gives numbers a second time', () => {
    const other = (version: string): Fields => at(version, serviceObject('ns/other'));
    const follower = follow({ Service: [web('10'), other('100')] });
    follower.takeAll();
    follower.tracker.replace('Service', [web('10', MOVED), other('99')]);
    expect(work(follower)).toEqual(move);
  });

  it('reads again what could not be read, and counts it', () => {
    const bad = web('10', { ports: 'none' });
    const { tracker } = follow({ Service: [bad] });
    tracker.replace('Service', [bad]);
    expect(tracker.skipped).toBe(2);
    tracker.put('Service', web('11'));
    tracker.put('Service', bad);
    tracker.replace('Service', [bad]);
    expect([tracker.skipped, tracker.serviceCount]).toEqual([4, 1]);
  });

  it('reads what came by an event in the version before, and what was removed', () => {
    const follower = follow({ Service: [web('10')] });
    follower.takeAll();
    follower.tracker.put('Service', web('11', MOVED));
    follower.tracker.replace('Service', [web('11', MOVED)]);
    expect(work(follower)).toEqual(move);
    follower.tracker.remove('Service', web('11', MOVED));
    expect(work(follower)).toEqual(['gone ns/web:p/TCP']);
    follower.tracker.replace('Service', [web('11', MOVED)]);
    expect(work(follower)).toEqual(move);
  });
});
