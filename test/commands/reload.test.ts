/** One configuration after the other in one process, with work that only writes down what it is told. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { profileOf } from '../../src/backends/index.ts';
import { runWithReloads } from '../../src/commands/reload.ts';
import type { Setup } from '../../src/commands/setup.ts';
import { loadConfig } from '../../src/config/load.ts';
import { fileOf, flagsOf } from '../config/loading.ts';

const TIMING = { periodMs: 10, settleMs: 5 };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pointsman-reload-'));
  return () => rm(folder, { recursive: true });
});

interface Bench {
  /** What the work was begun with, and how it ended. */
  readonly told: readonly string[];
  readonly reloads: readonly string[];
  readonly lines: readonly string[];
  readonly outcome: Promise<void>;
  readonly stop: () => void;
  readonly write: (body: string) => Promise<void>;
}

interface Options {
  readonly body: string;
  /** The work cannot be done with this. */
  readonly fails?: (setup: Setup) => boolean;
  readonly check?: (setup: Setup) => Promise<void>;
}

const MODE = 'clientConnection: {kubeconfig: KUBECONFIG}\n';

const start = async ({ body, fails = () => false, check = async () => undefined }: Options): Promise<Bench> => {
  const file = join(folder, 'config.yaml');
  const kubeconfig = join(folder, 'kubeconfig');
  const write = (text: string): Promise<void> => writeFile(file, fileOf(text.replace('KUBECONFIG', kubeconfig)));
  await write(body);
  const lines: string[] = [];
  const load = async (): Promise<Setup> => ({
    ...(await loadConfig({ flags: flagsOf(`--config=${file}`), profileOf })),
    nodeName: 'node1',
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
  });
  const told: string[] = [];
  const run = async (setup: Setup, signal: AbortSignal): Promise<void> => {
    told.push(`begin ${setup.config.mode} ${setup.config.oomScoreAdj}`);
    if (fails(setup)) throw new Error(`no ${setup.config.mode} here`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    await new Promise((resolve) => setTimeout(resolve, 5)); // the write under way
    told.push(`end: ${signal.reason}`);
  };
  const reloads: string[] = [];
  const life = { reloaded: (result: string) => void reloads.push(result), settled: () => void reloads.push('settled') };
  const stop = new AbortController();
  const first = await load();
  const outcome = runWithReloads({ first, load, check, run, life, timing: TIMING }, stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await outcome.catch(() => undefined);
  });
  return { told, reloads, lines, outcome, stop: () => stop.abort('SIGTERM'), write };
};

const until = (what: () => readonly string[], expected: readonly string[]): Promise<void> =>
  vi.waitFor(() => expect(what()).toEqual(expected));
const someLooks = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

describe('a configuration', () => {
  it('that never changes is run once, until the end', async () => {
    const { told, stop, outcome, reloads } = await start({ body: 'mode: iptables\n' });
    await someLooks();
    stop();
    await outcome;
    expect(told).toEqual(['begin iptables -999', 'end: SIGTERM']);
    expect(reloads).toEqual(['settled']);
  });

  it('that changes is run after the former has ended, each time', async () => {
    const { told, write, lines, reloads, stop, outcome } = await start({ body: 'mode: iptables\n' });
    await write('mode: nftables\noomScoreAdj: 5\n');
    const second = ['begin iptables -999', 'end: the configuration changed', 'begin nftables 5'];
    await until(() => told, second);
    await write('mode: ipvs\n');
    await until(() => told, [...second, 'end: the configuration changed', 'begin ipvs -999']);
    stop();
    await outcome;
    expect(told.at(-1)).toBe('end: SIGTERM');
    expect(reloads.filter((one) => one === 'applied')).toHaveLength(2);
    expect(lines[0]).toContain('mode: \\"iptables\\" → \\"nftables\\"');
    expect(lines[0]).toContain('oomScoreAdj: -999 → 5');
  });

  it('that only looks different is the same', async () => {
    const { told, write, reloads } = await start({ body: 'mode: iptables\n' });
    await write('# a remark\nmode: iptables\noomScoreAdj: -999\n');
    await until(() => [...new Set(reloads)], ['settled']);
    await someLooks();
    expect(told).toEqual(['begin iptables -999']);
  });

  it('that is wrong is told once, and the one in force stays until there is a right one', async () => {
    const { told, write, lines, reloads } = await start({ body: 'mode: iptables\n' });
    await write('mode: userspace\nmodus: x\n');
    await vi.waitFor(() => expect(reloads).toContain('refused'));
    await someLooks();
    expect(told).toEqual(['begin iptables -999']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/mode: expected iptables, ipvs or nftables.*modus: unknown key/);
    await write('mode: iptables\n');
    await vi.waitFor(() => expect(reloads.at(-1)).toBe('settled'));
    expect(told).toEqual(['begin iptables -999']);
  });

  it('whose file is gone is no other one', async () => {
    const { told, reloads } = await start({ body: 'mode: iptables\n' });
    await rm(join(folder, 'config.yaml'));
    await vi.waitFor(() => expect(reloads).toContain('refused'));
    expect(told).toEqual(['begin iptables -999']);
  });

  it('that lacks something outside is not tried', async () => {
    const check = async ({ config }: Setup): Promise<void> => {
      if (config.mode === 'ipvs') throw new Error('no right to do that');
    };
    const { told, write, lines } = await start({ body: 'mode: iptables\n', check });
    await write('mode: ipvs\n');
    await vi.waitFor(() => expect(lines.join()).toContain('no right to do that'));
    expect(told).toEqual(['begin iptables -999']);
  });

  it('that does not work is given up for the one before, and tried again only when it changes', async () => {
    const fails = ({ config }: Setup): boolean => config.mode === 'ipvs';
    const { told, write, lines, reloads } = await start({ body: 'mode: iptables\n', fails });
    await write('mode: ipvs\n');
    const back = ['begin iptables -999', 'end: the configuration changed', 'begin ipvs -999', 'begin iptables -999'];
    await until(() => told, back);
    expect(lines.join()).toMatch(/the new configuration does not work, the last one is back/);
    expect(lines.join()).toContain('no ipvs here');
    expect(reloads.at(-1)).toBe('reverted');
    await someLooks();
    expect(told).toEqual(back);
    await write('mode: nftables\n');
    await until(() => told, [...back, 'end: the configuration changed', 'begin nftables -999']);
  });

  it('that never worked ends it all', async () => {
    const { outcome, told } = await start({ body: 'mode: ipvs\n', fails: () => true });
    await expect(outcome).rejects.toThrow('no ipvs here');
    expect(told).toEqual(['begin ipvs -999']);
  });

  it('has a kubeconfig, whose contents count as its own do', async () => {
    await writeFile(join(folder, 'kubeconfig'), 'one');
    const { told, lines, reloads } = await start({ body: `${MODE}mode: iptables\n` });
    await until(() => reloads, ['settled']);
    await writeFile(join(folder, 'kubeconfig'), 'other');
    await until(() => told, ['begin iptables -999', 'end: the configuration changed', 'begin iptables -999']);
    expect(lines[0]).toContain(`contents of ${join(folder, 'kubeconfig')}`);
  });

  it('leaves nobody listening for the end, however often it changed', async () => {
    const stop = new AbortController();
    const added = vi.spyOn(stop.signal, 'addEventListener');
    const removed = vi.spyOn(stop.signal, 'removeEventListener');
    const setup = {
      ...(await loadConfig({ flags: flagsOf(), profileOf })),
      nodeName: 'n',
      log: pino({ level: 'silent' }),
    };
    let runs = 0;
    const run = async (): Promise<void> => {
      runs += 1;
    };
    const life = { reloaded: () => undefined, settled: () => undefined };
    await runWithReloads(
      { first: setup, load: async () => setup, check: async () => undefined, run, life },
      stop.signal,
    );
    expect(runs).toBe(1);
    expect(removed.mock.calls.length).toBe(added.mock.calls.length);
  });
});
