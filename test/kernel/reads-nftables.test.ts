/**
 * Reads of a large table that overlap: with each other, with writes, and with what others do to the table meanwhile. Two lists
 * over one socket end in EBUSY, or one takes the other's parts and both wait for ever.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type NftablesBackend, nftablesBackend } from '../../src/backends/nftables/index.ts';
import { type KernelSockets, openKernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import { declarations, TABLE } from '../../src/backends/nftables/names.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { nodeOf, tcp } from '../backends/ipvs/world.ts';
import { input } from '../dataplane/fake-backend.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith } from './requires.ts';

const SERVICES = 3_000;
const EDITS = 5;
const EDIT_MS = 400;
/** As many milliseconds as a starved machine may take for what takes a second. */
const PATIENCE_MS = 15_000;

const socketsIn = ({ enter }: Namespace): KernelSockets => {
  const { writer, openReader, openWatch } = enter(openKernelSockets);
  return { writer, openReader: () => enter(openReader), openWatch: (family) => enter(() => openWatch(family)) };
};

const addressOf = (n: number): string => `10.96.${n >> 8}.${n & 255}`;

describeWith([...NAMESPACE_NEEDS], 'reads of a large table', () => {
  let namespace: Namespace;
  let backend: NftablesBackend;
  let reconciler: Reconciler<never, never>;
  beforeAll(async () => {
    namespace = createNamespace();
    backend = nftablesBackend({ family: 'IPv4', sockets: socketsIn(namespace) });
    const made = new Reconciler(backend, { signal: new AbortController().signal });
    const services = Array.from({ length: SERVICES }, (_, n) =>
      tcp(`s${n}`, addressOf(n), ['10.200.0.1', '10.200.0.2']),
    );
    await made.sync(input(services, [], nodeOf('IPv4')));
    reconciler = made as never;
  }, 60_000);
  afterAll(() => namespace?.remove());

  /** Somebody takes what leads to one Service away. */
  const edit = (n: number): void =>
    namespace.nftables.run(
      [
        {
          delete: {
            element: { family: 'ip', table: TABLE, name: 'service-ips', elem: [{ concat: [addressOf(n), 'tcp', 80] }] },
          },
        },
      ],
      { sets: declarations('ip') },
    );

  it('two at once are both whole', async () => {
    const { signal } = new AbortController();
    const reads = await Promise.all([backend.read(signal), backend.read(signal), backend.read(signal)]);
    const sizes = reads.map(({ size }) => size);
    expect(new Set(sizes).size).toBe(1);
    expect(sizes[0]).toBeGreaterThan(SERVICES * 2);
  }, 60_000);

  it('that others write to all the while never fail, and what they took is back soon after the last time', async () => {
    const { signal } = new AbortController();
    const failures: string[] = [];
    const note = (error: unknown): unknown => failures.push(String(error));
    let audits: Promise<unknown> = Promise.resolve();
    let isOver = false;
    const watch = backend.watch?.(() => {
      audits = audits.then(() => reconciler.audit()).catch(note);
    });
    // beside the audits of changes those that come with time
    const timed = (async () => {
      while (!isOver) {
        await backend.read(signal).catch(note);
        await pause(100);
      }
    })();
    for (let n = 0; n < EDITS; n += 1) {
      edit(n * 7);
      await pause(EDIT_MS);
    }
    const isWhole = async (): Promise<boolean> => {
      const found = await backend.read(signal);
      return Array.from({ length: EDITS }, (_, n) => found.get(`frontend ${addressOf(n * 7)} . tcp . 80`)).every(
        (object) => object?.content.includes('service-ips') === true,
      );
    };
    await expect.poll(isWhole, { timeout: PATIENCE_MS, interval: 100 }).toBe(true);
    isOver = true;
    watch?.stop();
    await Promise.all([timed, audits]);
    expect(failures).toEqual([]);
  }, 90_000);
});
