/** What others do to what is in our table: it is found, told, and put right. */
import { describe, expect, it } from 'vitest';
import { concat, drop, element, goto, jump } from '../../../src/nftables-json/construct.ts';
import type { Command } from '../../../src/nftables-json/schema.ts';
import { tcp } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, FRONTEND, here, KEY, pod, remove, STICKY, slot, WEB } from './vandal.ts';
import { comparable, elementsIn, freshListing, listingOf, NO_DRIFT, start } from './world.ts';

interface Vandalism {
  readonly what: string;
  readonly does: readonly Command[];
  readonly missing?: readonly string[];
  readonly changed?: readonly string[];
  readonly foreign?: readonly string[];
}

const CASES: readonly Vandalism[] = [
  { what: 'an element of theirs', does: [add('cluster-ips', '10.96.7.7')], foreign: ['element cluster-ips 10.96.7.7'] },
  {
    what: 'an element of ours that is gone',
    does: [remove('cluster-ips', '10.96.0.1')],
    missing: ['element cluster-ips 10.96.0.1'],
  },
  {
    what: 'a frontend of theirs',
    does: [add('service-ips', [concat('10.96.7.7', 'tcp', 1), drop])],
    foreign: ['frontend 10.96.7.7 . tcp . 1'],
  },
  {
    what: 'a frontend of theirs with endpoints alone',
    does: [add('endpoints', [concat('10.96.7.7', 'tcp', 1, 0), pod(9)])],
    foreign: ['frontend 10.96.7.7 . tcp . 1'],
  },
  { what: 'a verdict that is gone', does: [remove('service-ips', KEY)], changed: [FRONTEND] },
  {
    what: 'another verdict',
    does: [remove('service-ips', KEY), add('service-ips', [KEY, goto('firewall')])],
    changed: [FRONTEND],
  },
  {
    what: 'another comment',
    does: [remove('service-ips', KEY), add('service-ips', [element(KEY, 'mine'), goto('pick-3')])],
    changed: [FRONTEND],
  },
  { what: 'a slot that is empty', does: [remove('endpoints', slot(1))], changed: [FRONTEND] },
  { what: 'the first slot empty', does: [remove('endpoints', slot(0))], changed: [FRONTEND] },
  { what: 'a slot behind the end', does: [add('endpoints', [slot(3), pod(9)])], changed: [FRONTEND] },
  { what: 'a slot far behind the end', does: [add('endpoints', [slot(9), pod(9)])], changed: [FRONTEND] },
  {
    what: 'a slot so far behind that no list has it',
    does: [add('endpoints', [slot(4_000_000_000), pod(9)])],
    changed: [FRONTEND],
  },
  {
    what: 'an endpoint twice',
    does: [remove('endpoints', slot(1)), add('endpoints', [slot(1), pod(1)])],
    changed: [FRONTEND],
  },
  {
    what: 'another endpoint',
    does: [remove('endpoints', slot(1)), add('endpoints', [slot(1), pod(9)])],
    changed: [FRONTEND],
  },
  { what: 'all endpoints gone', does: [remove('endpoints', slot(0), slot(1), slot(2))], changed: [FRONTEND] },
  {
    what: 'a rule of theirs in our chain',
    does: [{ add: { rule: { ...here, chain: 'services', expr: [drop] } } }],
    changed: ['chain services'],
  },
  {
    what: 'a chain that is empty',
    does: [{ flush: { chain: { ...here, name: 'pick-3' } } }],
    changed: ['chain pick-3'],
  },
  { what: 'a chain of theirs', does: [{ add: { chain: { ...here, name: 'theirs' } } }], foreign: ['chain theirs'] },
  {
    what: 'chains of theirs that lead to each other',
    does: [
      { add: { chain: { ...here, name: 'one' } } },
      { add: { chain: { ...here, name: 'two' } } },
      { add: { rule: { ...here, chain: 'one', expr: [jump('two')] } } },
    ],
    foreign: ['chain one', 'chain two'],
  },
  {
    what: 'a base chain of theirs',
    does: [{ add: { chain: { ...here, name: 'theirs', type: 'filter', hook: 'input', prio: 5, policy: 'drop' } } }],
    foreign: ['chain theirs'],
  },
  {
    what: 'a base chain at another priority',
    does: [
      { flush: { chain: { ...here, name: 'nat-prerouting' } } },
      { delete: { chain: { ...here, name: 'nat-prerouting' } } },
      {
        add: {
          chain: { ...here, name: 'nat-prerouting', type: 'nat', hook: 'prerouting', prio: -90, policy: 'accept' },
        },
      },
    ],
    changed: ['chain nat-prerouting'],
  },
  {
    what: 'a policy of theirs',
    does: [
      {
        add: { chain: { ...here, name: 'filter-input', type: 'filter', hook: 'input', prio: 0, policy: 'drop' } },
      },
    ],
    changed: ['chain filter-input'],
  },
  {
    what: 'a chain of ours put on a hook',
    does: [
      ...['filter-prerouting-pre-dnat', 'filter-output-pre-dnat', 'firewall-check'].map(
        (name): Command => ({ flush: { chain: { ...here, name } } }),
      ),
      { delete: { chain: { ...here, name: 'firewall-check' } } },
      { add: { chain: { ...here, name: 'firewall-check', type: 'filter', hook: 'input', prio: 9, policy: 'drop' } } },
    ],
    changed: ['chain filter-prerouting-pre-dnat', 'chain filter-output-pre-dnat', 'chain firewall-check'],
  },
  {
    what: 'a set of theirs',
    does: [{ add: { set: { ...here, name: 'theirs', type: 'inet_service' } } }],
    foreign: ['set theirs'],
  },
  {
    what: 'a set of affinity that nobody wants',
    does: [{ add: { set: { ...here, name: 'sticky-77', type: 'inet_service' } } }],
    foreign: ['set sticky-77'],
  },
];

describe('an audit', () => {
  const SERVICES = [WEB, STICKY];

  it.each(CASES)(
    'finds $what, tells of it and puts it right',
    async ({ does, missing = [], changed = [], foreign = [] }) => {
      const kernel = new MemoryNft();
      const life = start(kernel);
      await life.sync(SERVICES);
      const before = comparable(await listingOf(kernel));
      kernel.run(does);
      expect(await life.reconciler.audit()).toEqual({ missing, changed, foreign });
      expect(comparable(await listingOf(kernel))).toEqual(before);
      expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
      expect(life.refused).toEqual([]);
    },
  );

  it.each(CASES)('is not needed by a program that starts over $what', async ({ does }) => {
    const kernel = new MemoryNft();
    await start(kernel).sync(SERVICES);
    const before = comparable(await listingOf(kernel));
    kernel.run(does);
    await start(kernel).sync(SERVICES);
    expect(comparable(await listingOf(kernel))).toEqual(before);
  });

  it('takes endpoints in other slots for what they are: the same', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync(SERVICES);
    kernel.run([remove('endpoints', slot(0), slot(2)), add('endpoints', [slot(0), pod(3)], [slot(2), pod(1)])]);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    // and what is known of them is what was found
    await life.sync([tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2'])]);
    expect(comparable(await listingOf(kernel))).toEqual(
      await freshListing([tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2']), STICKY]),
    );
  });

  it('leaves alone who is remembered', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync(SERVICES);
    kernel.run([
      add('affinity', [{ elem: { val: concat('192.0.2.1', '10.96.0.3', 'tcp', 80), timeout: 60 } }, pod(3)]),
    ]);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    await start(kernel).sync(SERVICES);
    expect(await elementsIn(kernel, ['affinity'])).toHaveLength(1);
  });
});
