import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ChangeFeed, RuleWatch, reportIntervalFor } from '../../../src/backends/xtables/rule-watch.ts';
import type { ChainChange } from '../../../src/nftables-json/chain-watch.ts';

const change = (chain: string | undefined, more: Partial<ChainChange> = {}): ChainChange => ({
  family: 'ip',
  table: 'nat',
  chain,
  isRemoval: true,
  ...more,
});

describe('what is worth a look', () => {
  it.each([
    ['a chain of ours that goes', change('KUBE-SERVICES')],
    ['a rule that somebody puts there', change('KUBE-SVC-ABCDEFGHIJKLMNOP', { isRemoval: false })],
    ['the whole table', change(undefined)],
  ])('%s, soon', (_, one) => expect(reportIntervalFor(one)).toBe(1_000));

  it.each(['KUBE-SERVICES', 'KUBE-FIREWALL'])('a jump to %s that leaves a built-in chain, soon', (target) =>
    expect(reportIntervalFor(change('PREROUTING', { leadsTo: [target] }))).toBe(1_000),
  );

  it('a rule that leaves a built-in chain and that the kernel does not show, later', () =>
    expect(reportIntervalFor(change('PREROUTING'))).toBe(10_000));

  it.each([
    ['a chain of others', change('CNI-HOSTPORT-DNAT')],
    ['the kubelet’s own', change('KUBE-KUBELET-CANARY')],
    ['a rule that others put into a built-in chain', change('PREROUTING', { isRemoval: false })],
    ['a rule of others that leaves a built-in chain', change('PREROUTING', { leadsTo: ['CNI-HOSTPORT-DNAT'] })],
    ['one that leads nowhere', change('INPUT', { leadsTo: [] })],
    ['another table', change('KUBE-SERVICES', { table: 'mine' })],
  ])('%s, not at all', (_, one) => expect(reportIntervalFor(one)).toBeUndefined());
});

describe('a watch', () => {
  afterEach(() => void vi.useRealTimers());

  const setUp = () => {
    const kernel: (ChainChange | undefined)[] = [];
    const clock = { ms: 0 };
    const state = { open: 0 };
    const open = (): ChangeFeed => {
      state.open += 1;
      kernel.length = 0; // what was told before is not heard
      return {
        *changes() {
          yield* kernel.splice(0);
        },
        close: () => {
          state.open -= 1;
        },
      };
    };
    vi.useFakeTimers();
    const watch = new RuleWatch(open, () => clock.ms);
    const heard: string[] = [];
    const v4 = watch.listen('IPv4', () => heard.push('IPv4'));
    const v6 = watch.listen('IPv6', () => heard.push('IPv6'));
    const pass = (ms: number): void => {
      clock.ms += ms;
      vi.advanceTimersByTime(ms);
    };
    const stop = (): void => {
      v4.stop();
      v6.stop();
    };
    return { kernel, state, watch, heard, pass, stop };
  };

  it('tells the family that it concerns, at once, and then not too often', () => {
    const { kernel, heard, pass } = setUp();
    kernel.push(change('KUBE-SERVICES'));
    pass(100);
    expect(heard).toEqual(['IPv4']);
    kernel.push(change('KUBE-SERVICES'), change('KUBE-SERVICES', { family: 'ip6' }));
    pass(100);
    expect(heard).toEqual(['IPv4', 'IPv6']);
    pass(800);
    expect(heard).toHaveLength(2);
    pass(200);
    expect(heard).toEqual(['IPv4', 'IPv6', 'IPv4']);
  });

  it('tells both when more was told than could be kept', () => {
    const { kernel, heard, pass } = setUp();
    kernel.push(undefined);
    pass(100);
    expect(heard).toEqual(['IPv4', 'IPv6']);
  });

  it('hears nothing of our own writes, also of two at a time, and all of what came before', async () => {
    const { kernel, heard, pass, watch, state } = setUp();
    kernel.push(change('KUBE-SERVICES', { family: 'ip6' }));
    const ends: (() => void)[] = [];
    const write = (): Promise<void> => new Promise((resolve) => ends.push(resolve));
    const writes = [watch.ignoringOwnWrites(write), watch.ignoringOwnWrites(write)];
    expect(state.open).toBe(0);
    kernel.push(change('KUBE-SERVICES'));
    ends[0]?.();
    await writes[0];
    expect(state.open).toBe(0);
    ends[1]?.();
    await writes[1];
    pass(100);
    expect(heard).toEqual(['IPv6']);
    kernel.push(change('KUBE-SERVICES'));
    pass(100);
    expect(heard).toEqual(['IPv6', 'IPv4']);
  });

  it('goes on after a write that failed', async () => {
    const { kernel, heard, pass, watch } = setUp();
    await expect(watch.ignoringOwnWrites(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    kernel.push(change('KUBE-SERVICES'));
    pass(100);
    expect(heard).toEqual(['IPv4']);
  });

  it('closes with the last listener', () => {
    const { state, stop } = setUp();
    expect(state.open).toBe(1);
    stop();
    expect(state.open).toBe(0);
  });
});

describe('a socket that breaks', () => {
  afterEach(() => void vi.useRealTimers());

  it('is opened again, later and later, said once; and what was missed is looked for', () => {
    vi.useFakeTimers();
    const clock = { ms: 0 };
    const tries: number[] = [];
    const said: string[] = [];
    let isWhole = true;
    const open = (): ChangeFeed => {
      tries.push(clock.ms);
      if (!isWhole) throw new Error('no socket');
      return {
        *changes() {
          if (!isWhole) throw new Error('recv');
          yield* [];
        },
        close: () => undefined,
      };
    };
    const watch = new RuleWatch(
      open,
      () => clock.ms,
      (message) => said.push(message),
    );
    let looks = 0;
    const listening = watch.listen('IPv4', () => {
      looks += 1;
    });
    const pass = (ms: number): void => {
      for (let spent = 0; spent < ms; spent += 100) {
        clock.ms += 100;
        vi.advanceTimersByTime(100);
      }
    };
    pass(1_000);
    isWhole = false;
    pass(10_000);
    expect(tries).toEqual([0, 2_100, 4_100, 8_100]);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('recv');
    expect(looks).toBe(0);
    isWhole = true;
    pass(10_000);
    expect(looks).toBe(1);
    listening.stop();
  });
});
