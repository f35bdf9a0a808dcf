import { describe, expect, it } from 'vitest';
import type { ObjectKind } from '../../src/model/kubernetes.ts';
import { ListeningSink } from '../../src/observe/sink.ts';

const bench = () => {
  const passed: string[] = [];
  const events: (readonly [ObjectKind, number, number])[] = [];
  let work = false;
  const sink = new ListeningSink({
    sink: {
      replace: async (kind, objects) => void passed.push(`replace ${kind} ${objects.length}`),
      put: (kind) => passed.push(`put ${kind}`),
      remove: (kind) => passed.push(`remove ${kind}`),
    },
    nodeName: 'node1',
    hasWork: () => work,
    onEvents: (...event) => events.push(event),
  });
  const setWork = (is: boolean): void => {
    work = is;
  };
  return { sink, passed, events, setWork };
};

const node = (name: string, fields: object = {}): object => ({ metadata: { name, ...fields } });

describe('listening in on a source', () => {
  it('passes everything on, and counts events and those that lead to work', async () => {
    const { sink, passed, events, setWork } = bench();
    setWork(true);
    await sink.replace('Service', [{}, {}]);
    sink.put('EndpointSlice', {});
    setWork(false);
    sink.remove('Service', {});
    expect(passed).toEqual(['replace Service 2', 'put EndpointSlice', 'remove Service']);
    expect(events).toEqual([
      ['Service', 2, 2],
      ['EndpointSlice', 1, 1],
      ['Service', 1, 0],
    ]);
  });

  it('knows whether the node may get new traffic: not before the Node is known', async () => {
    const { sink } = bench();
    expect(sink.isNodeEligible).toBe(false);
    await sink.replace('Node', []);
    await sink.replace('Node', [node('another')]);
    expect(sink.isNodeEligible).toBe(false);
    await sink.replace('Node', [node('node1')]);
    expect(sink.isNodeEligible).toBe(true);
    sink.put('Node', node('node1', { deletionTimestamp: '2026-01-01T00:00:00Z' }));
    expect(sink.isNodeEligible).toBe(false);
    sink.put('Node', node('node1'));
    expect(sink.isNodeEligible).toBe(true);
  });

  it('keeps what it saw last of a Node that is gone, and of one that cannot be read', async () => {
    const { sink } = bench();
    sink.put('Node', node('node1'));
    sink.put('Node', 'nonsense');
    sink.remove('Node', node('node1'));
    await sink.replace('Node', []);
    expect(sink.isNodeEligible).toBe(true);
  });
});
