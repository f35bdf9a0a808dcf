/** Marks: numbers inside the mask, one a name, that stay what they are. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketMarks } from '../../../src/backends/ipvs/marks.ts';
import { setDefinition } from '../../../src/backends/ipvs/names.ts';
import { newService, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { deleteEntry } from '../../../src/netlink/ipset.ts';
import { SETTINGS } from './memory-kernel.ts';
import { newKernel, nodeOf, start, tcp, withLocal } from './world.ts';

const MASQUERADE = 0x4000;
const newMarks = (mask: number): PacketMarks => new PacketMarks({ mask, masqueradeMark: MASQUERADE });
const settingsWith = (mask: number) => ({ ...SETTINGS, marks: { mask, masqueradeMark: MASQUERADE } });
const LOCAL = ['10.200.0.1'];

/** One with a NodePort and external policy Local; numbers from 1 on. */
const local = (n: number): ServiceEndpoints =>
  withLocal(
    tcp(`s${n}`, `10.96.0.${n}`, [...LOCAL, `10.200.1.${n}`], { nodePort: 30_000 + n, externalPolicyLocal: true }),
    LOCAL,
  );

describe('numbers', () => {
  it('lie inside the mask, have its highest bit, and are as many as that leaves', () => {
    for (const mask of [0x1f7f, 0x1, 0x80000000, 0xf0, 0x80000001]) {
      const marks = newMarks(mask);
      const top = 2 ** Math.floor(Math.log2(mask));
      const given = Array.from({ length: marks.size }, (_, n) => marks.numberOf(`n${n}`) ?? 0);
      expect(new Set(given).size).toBe(marks.size);
      for (const number of given) expect([(number & ~mask) >>> 0, (number & top) >>> 0]).toEqual([0, top]);
      expect(marks.numberOf('one more')).toBeUndefined();
      expect(marks.numberOf('n0')).toBe(given[0]);
    }
    expect(newMarks(0x1f7f).size).toBe(2_048);
  });

  it('leave alone what CNIs and kubelets use', () => {
    const marks = newMarks(0x1f7f);
    for (let n = 0; n < marks.size; n += 1) {
      expect((marks.numberOf(`n${n}`) ?? 0) & (0xffff0000 | 0x8000 | MASQUERADE | 0x2000 | 0x80)).toBe(0);
    }
  });

  it('that others have are not given, with the masquerade bit or without', () => {
    const marks = newMarks(0x13);
    marks.adopt({ recorded: new Map(), seen: [0x10, 0x11 | MASQUERADE, 77] }, marks.begin());
    expect([marks.numberOf('a'), marks.numberOf('b'), marks.numberOf('c')]).toEqual([0x12, 0x13, undefined]);
  });

  it('are free again when their name is released, and not while it is there', () => {
    const marks = newMarks(0x11);
    expect([marks.numberOf('a'), marks.numberOf('b')]).toEqual([0x10, 0x11]);
    marks.release('a');
    expect([marks.numberOf('c'), marks.numberOf('b')]).toEqual([0x10, 0x11]);
  });

  it('are never two names’, whatever is written, released and read, also by a read that is slow', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    const event = fc.oneof(
      fc.record({ does: fc.constant('write' as const), name }),
      fc.record({ does: fc.constant('release' as const), name }),
      fc.record({ does: fc.constant('begin' as const) }),
      fc.record({ does: fc.constant('learn' as const) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const marks = newMarks(0x13);
        const kernel = new Map<number, string>();
        let read: { begun: number; recorded: Map<number, string> } | undefined;
        for (const one of events) {
          if (one.does === 'write') {
            const number = marks.numberOf(one.name);
            if (number === undefined) continue;
            expect([one.name, undefined]).toContain(kernel.get(number));
            kernel.set(number, one.name);
          } else if (one.does === 'release') {
            for (const [number, of] of kernel) if (of === one.name) kernel.delete(number);
            marks.release(one.name);
          } else if (one.does === 'begin') read = { begun: marks.begin(), recorded: new Map(kernel) };
          else if (read !== undefined) marks.adopt({ recorded: read.recorded, seen: read.recorded.keys() }, read.begun);
          for (const [number, of] of kernel) expect(marks.known(of)).toBe(number);
        }
      }),
    );
  });
});

describe('on a node', () => {
  const marksIn = (listing: readonly string[]): readonly string[] =>
    listing.filter((line) => line.includes('"mark"') || line.includes(' -f ')).sort();

  it('the same Services have the same numbers after a restart, in whatever order they come', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([local(1), local(2), local(3)]);
    await life.sync([], ['ns/s1:p/TCP']);
    await life.sync([local(4)]);
    const listing = marksIn(kernel.listing());
    expect(listing.join()).toContain('"mask":8063');
    const again = start(kernel);
    await again.sync([local(4), local(3), local(2)]);
    expect(marksIn(kernel.listing())).toEqual(listing);
    expect(await again.reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
  });

  it('when there is none left, that Service is set aside, with the reason, until one is free', async () => {
    const kernel = newKernel();
    const life = start(kernel, 'IPv4', settingsWith(0x11));
    await life.sync([local(1), local(2)]);
    const before = marksIn(kernel.listing());
    await life.sync([local(3), tcp('plain', '10.96.0.9', LOCAL)]);
    expect(life.refused).toEqual([
      expect.stringMatching(/^ns\/s3:p\/TCP: .*no packet mark is left in --ipvs-mark-mask=0x11: 2 service ports/),
    ]);
    expect(life.reconciler.status('ns/plain:p/TCP').state).toBe('Done');
    expect(marksIn(kernel.listing())).toEqual(before);
    await life.sync([], ['ns/s1:p/TCP']);
    kernel.time += 3_600_000;
    await life.sync([]);
    expect(life.reconciler.status('ns/s3:p/TCP').state).toBe('Done');
    expect(kernel.ipvs.flags()).toContain('-f 16');
  });

  it('another mask, or another masquerade bit, takes the place of the former one', async () => {
    const fresh = newKernel();
    await start(fresh, 'IPv4', settingsWith(0x600)).sync([local(1), local(2)]);
    const kernel = newKernel();
    await start(kernel).sync([local(1), local(2)]);
    const moved = start(kernel, 'IPv4', settingsWith(0x600));
    await moved.sync([local(1), local(2)]);
    expect(kernel.listing()).toEqual(fresh.listing());

    const marks = { mask: 0x600, masqueradeMark: 0x8 };
    const node = nodeOf('IPv4', { masqueradeMark: 0x8 });
    await start(kernel, 'IPv4', { ...SETTINGS, marks }, node).sync([local(1), local(2)]);
    expect(kernel.ipvs.flags().filter((flag) => flag.startsWith('-f'))).toEqual(
      [1_024, 1_536, 1_032, 1_544].map((mark) => `-f ${mark}`),
    );
  });

  it('a record that somebody deletes is written again, and nothing else', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([local(1), local(2)]);
    await life.sync([], ['ns/s1:p/TCP']);
    const listing = kernel.listing();
    const { sets } = kernel.open().handles;
    const set = setDefinition('EXTERNAL-POLICY-OWNER', 'IPv4');
    sets.execute([deleteEntry(set, { address: '10.96.0.2', protocol: 'tcp', port: 80 })]);
    expect(kernel.listing()).not.toEqual(listing);
    expect(await life.reconciler.audit()).toEqual({
      missing: ['entry KUBE-EXTERNAL-POLICY-OWNER 10.96.0.2,tcp:80'],
      changed: [],
      foreign: [],
    });
    expect(kernel.listing()).toEqual(listing);
  });

  it('virtual servers of others behind a mark stay, and ours go around them', async () => {
    const kernel = newKernel();
    const { handles } = kernel.open();
    handles.ipvs.execute([newService({ fwmark: 0x1000, family: 'IPv4' }, PLAIN)]);
    await start(kernel).sync([local(1)]);
    expect(kernel.ipvs.flags().filter((flag) => flag.startsWith('-f'))).toEqual(
      [0x1000, 0x1001, 0x5001].map((mark) => `-f ${mark}`),
    );
  });
});
