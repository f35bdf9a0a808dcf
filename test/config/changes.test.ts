import { describe, expect, it } from 'vitest';
import { changesBetween } from '../../src/config/changes.ts';
import { loadFile, loadLine } from './loading.ts';

const between = async (from: string, to: string): Promise<readonly string[]> =>
  changesBetween((await loadFile(from)).config, (await loadFile(to)).config);

describe('what changed of a configuration', () => {
  it('is nothing where settings are the same, however they are written', async () => {
    expect(await between('', 'mode: iptables\nconntrack: {tcpEstablishedTimeout: 86400s}\n')).toEqual([]);
  });

  it('is said by the path in the file, with both values', async () => {
    expect(
      await between(
        'mode: ipvs\nclusterCIDR: 10.0.0.0/8\niptables: {syncPeriod: 1m}\n',
        'mode: ipvs\nclusterCIDR: 10.0.0.0/8,fd00::/8\nnodePortAddresses: [10.1.0.0/16]\nfeatureGates: {A: true}\n',
      ),
    ).toEqual([
      'iptables.syncPeriod: "1m0s" → "30s"',
      'clusterCIDR: "10.0.0.0/8" → "10.0.0.0/8,fd00::/8"',
      'nodePortAddresses: [] → ["10.1.0.0/16"]',
      'featureGates.A: unset → true',
    ]);
  });

  it('includes what a mode brings with it', async () => {
    const [from, to] = [await loadLine([]), await loadLine(['--proxy-mode=nftables'])];
    expect(changesBetween(from.config, to.config)).toEqual([
      'mode: "iptables" → "nftables"',
      'nodePortAddresses: [] → ["primary"]',
    ]);
  });
});
