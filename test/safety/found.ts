/** Lives in which the law did not hold once: lived first at each run, whatever else is random. */
import type { Draft, Event } from './lives.ts';

const draft = (part: Partial<Draft>): Draft => ({
  last: 1,
  endpoints: [],
  nodePort: 0,
  vip: undefined,
  affinitySeconds: 0,
  isLocal: false,
  createdAt: 1,
  ...part,
});

/** An address goes to an older owner while that is isolated, and a third wants it too. */
const INHERITED: readonly Event[] = [
  { op: 'sync', services: [['a', draft({ last: 5, endpoints: [3], createdAt: 3 })]] },
  { op: 'evil', text: '10.200.0.3' },
  { op: 'restart' },
  {
    op: 'sync',
    services: [
      ['c', draft({ last: 5, vip: '203.0.113.1' })],
      ['d', draft({ last: 5, affinitySeconds: 60 })],
      ['b', draft({ endpoints: [3] })],
    ],
  },
  { op: 'edit', pick: 0, how: 'delete' },
];

export const FOUND: readonly (readonly Event[])[] = [INHERITED];
