import { describe, expect, it } from 'vitest';
import { FLAGS } from '../../src/config/flag-table.ts';
import type { FlagInForce } from '../../src/config/flags-in-force.ts';
import { EFFECTS } from './flag-cases.ts';
import { loadFile, loadLine } from './loading.ts';

const of = (flags: readonly FlagInForce[], name: string): string | undefined =>
  flags.find((flag) => flag.name === name)?.value;

describe('flags in force', () => {
  it('are all there are, by name', async () => {
    const names = (await loadLine([])).flags.map(({ name }) => name);
    expect(names).toEqual(FLAGS.map(({ name }) => name).sort());
  });

  it('have the values of the configuration file, or the defaults', async () => {
    const { flags } = await loadFile('mode: nftables\nnftables: {syncPeriod: 90s}\nlogging: {verbosity: 4}\n', [
      '-v=6',
    ]);
    const names = ['proxy-mode', 'iptables-sync-period', 'v', 'oom-score-adj', 'ipvs-sync-period', 'config'];
    expect(names.map((name) => of(flags, name))).toEqual(['nftables', '1m30s', '6', '-999', '30s', '/etc/p.yaml']);
  });

  it.each(EFFECTS)('give, given again, the same configuration: --%s=%s', async (name, text) => {
    const first = await loadLine([`--${name}=${text}`]);
    const again = await loadLine(
      // empty is how a flag looks that was not given
      first.flags.filter(({ value }) => value !== '').map((flag) => `--${flag.name}=${flag.value}`),
    );
    expect(again.config).toEqual(first.config);
  });
});
