/** What a change costs: messages to the kernel, whatever the number of Services. */
import { describe, expect, it } from 'vitest';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { MESSAGE } from '../../../src/nftables-json/messages.ts';
import { tcp } from '../ipvs/world.ts';
import { MemoryNft, type Transaction } from './memory-nft.ts';
import { elementsIn, type Life, start } from './world.ts';

const ips = (n: number, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `10.${200 + (n >> 8)}.${n & 255}.${i + 1}`);
const serviceOf = (n: number, endpoints: readonly string[]): ServiceEndpoints =>
  tcp(`s${n}`, `10.96.${n >> 8}.${n & 255}`, endpoints);

const SERVICES = Array.from({ length: 1_000 }, (_, n) => serviceOf(n, ips(n, 1 + (n % 5))));

const running = async (): Promise<{ readonly kernel: MemoryNft; readonly life: Life }> => {
  const kernel = new MemoryNft();
  const life = start(kernel);
  await life.sync(SERVICES);
  kernel.transactions.length = 0;
  return { kernel, life };
};

const does = ({ messages }: Transaction): readonly number[] => messages.map((message) => message.does);
const elements = ({ messages }: Transaction): number => messages.reduce((sum, message) => sum + message.elements, 0);

describe('among a thousand Services', () => {
  it('an endpoint that is replaced by another costs two messages of one element each', async () => {
    const { kernel, life } = await running();
    await life.sync([serviceOf(502, ['10.201.246.99', ...ips(502, 3).slice(1)])]);
    const [only, ...others] = kernel.transactions;
    expect(others).toEqual([]);
    expect(only?.messages).toEqual([
      { does: MESSAGE.DELETE_ELEMENT, elements: 1 },
      { does: MESSAGE.NEW_ELEMENT, elements: 1 },
    ]);
  });

  it.each([
    ['joins', [...ips(502, 3), '10.201.246.99'], 3],
    ['leaves, the first', ips(502, 3).slice(1), 5],
    ['leaves, the last', ips(502, 3).slice(0, 2), 3],
  ])('an endpoint that %s costs four messages at most', async (_, endpoints, count) => {
    const { kernel, life } = await running();
    await life.sync([serviceOf(502, endpoints)]);
    const [only, ...others] = kernel.transactions;
    expect(others).toEqual([]);
    expect(only === undefined ? [] : does(only)).toHaveLength(only?.messages.length ?? -1);
    expect(only?.messages.length).toBeLessThanOrEqual(4);
    expect(only && elements(only)).toBe(count);
    expect(await elementsIn(kernel, ['endpoints'])).toHaveLength(3_000 - 3 + endpoints.length);
  });

  it('nothing new costs nothing', async () => {
    const { kernel, life } = await running();
    await life.sync([...SERVICES].reverse());
    expect(kernel.transactions).toEqual([]);
  });

  it('a start is a few transactions, each of a bounded length', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync(SERVICES);
    expect(kernel.transactions.length).toBeLessThan(20);
    for (const transaction of kernel.transactions) expect(elements(transaction)).toBeLessThanOrEqual(500);
  });
});
