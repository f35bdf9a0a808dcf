import { describe, expect, it } from 'vitest';
import { loadFile, loadLine, problemsOf } from './loading.ts';

const PERIOD = 'expected a duration above 0, such as 30s, got';
const DURATION = 'expected a duration of 0 or more, such as 30s, got';
const SIZE = 'expected a whole number from 0 to 2147483647, got';
const ADDRESS = 'expected an IP address with a port from 1 to 65535, such as 0.0.0.0:10256, got';
const BIT = 'expected a whole number from 0 to 31, got 32';

const afterPlace = (problem: string): string => problem.replace(/^\/etc\/p\.yaml:\d+:\d+: /, '');

describe('a file is refused for', () => {
  it.each([
    ['mode: userspace', 'mode: expected iptables, ipvs or nftables, got "userspace"'],
    ['bindAddress: localhost', 'bindAddress: expected an IP address, got "localhost"'],
    ['clientConnection: {burst: -1}', `clientConnection.burst: ${SIZE} -1`],
    ['healthzBindAddress: 0.0.0.0:0', `healthzBindAddress: ${ADDRESS} "0.0.0.0:0"`],
    ['healthzBindAddress: localhost:10256', `healthzBindAddress: ${ADDRESS} "localhost:10256"`],
    ['metricsBindAddress: 0.0.0.0:70000', `metricsBindAddress: ${ADDRESS} "0.0.0.0:70000"`],
    ['showHiddenMetricsForVersion: "1"', 'showHiddenMetricsForVersion: expected a minor version such as 1.35, got "1"'],
    ['iptables: {masqueradeBit: 32}', `iptables.masqueradeBit: ${BIT}`],
    ['nftables: {masqueradeBit: 32}', `nftables.masqueradeBit: ${BIT}`],
    ['iptables: {syncPeriod: -1s}', `iptables.syncPeriod: ${PERIOD} "-1s"`],
    ['iptables: {minSyncPeriod: -1s}', `iptables.minSyncPeriod: ${DURATION} "-1s"`],
    ['ipvs: {syncPeriod: -1s}', `ipvs.syncPeriod: ${PERIOD} "-1s"`],
    ['ipvs: {minSyncPeriod: -1s}', `ipvs.minSyncPeriod: ${DURATION} "-1s"`],
    ['nftables: {syncPeriod: -1s}', `nftables.syncPeriod: ${PERIOD} "-1s"`],
    ['nftables: {minSyncPeriod: -1s}', `nftables.minSyncPeriod: ${DURATION} "-1s"`],
    [
      'iptables: {syncPeriod: 1s, minSyncPeriod: 2s}',
      'iptables.minSyncPeriod: expected no more than iptables.syncPeriod (1s), got "2s"',
    ],
    ['ipvs: {minSyncPeriod: 31s}', 'ipvs.minSyncPeriod: expected no more than ipvs.syncPeriod (30s), got "31s"'],
    [
      'nftables: {syncPeriod: 1s, minSyncPeriod: 2s}',
      'nftables.minSyncPeriod: expected no more than nftables.syncPeriod (1s), got "2s"',
    ],
    ['ipvs: {excludeCIDRs: [10.0.0.1]}', 'ipvs.excludeCIDRs: expected CIDRs, got ["10.0.0.1"]'],
    ['ipvs: {tcpTimeout: -1s}', `ipvs.tcpTimeout: ${DURATION} "-1s"`],
    ['ipvs: {tcpFinTimeout: -1s}', `ipvs.tcpFinTimeout: ${DURATION} "-1s"`],
    ['ipvs: {udpTimeout: -1s}', `ipvs.udpTimeout: ${DURATION} "-1s"`],
    [
      'detectLocalMode: x',
      'detectLocalMode: expected ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix, got "x"',
    ],
    [
      'detectLocalMode: BridgeInterface',
      'detectLocalMode: BridgeInterface needs detectLocal.bridgeInterface (--pod-bridge-interface), which is not given',
    ],
    [
      'detectLocalMode: InterfaceNamePrefix',
      'detectLocalMode: InterfaceNamePrefix needs detectLocal.interfaceNamePrefix (--pod-interface-name-prefix), which is not given',
    ],
    [
      'clusterCIDR: 10.0.0.0',
      'clusterCIDR: expected one CIDR, or an IPv4 and an IPv6 one with a comma between, got "10.0.0.0"',
    ],
    [
      'clusterCIDR: 10.0.0.0/8,10.1.0.0/16',
      'clusterCIDR: expected one CIDR, or an IPv4 and an IPv6 one with a comma between, got "10.0.0.0/8,10.1.0.0/16"',
    ],
    ['nodePortAddresses: [10.0.0.1]', 'nodePortAddresses: expected CIDRs, or just "primary", got ["10.0.0.1"]'],
    [
      'nodePortAddresses: [primary, 10.0.0.0/8]',
      'nodePortAddresses: expected CIDRs, or just "primary", got ["primary","10.0.0.0/8"]',
    ],
    ['oomScoreAdj: 1001', 'oomScoreAdj: expected a whole number from -1000 to 1000, got 1001'],
    ['oomScoreAdj: -1001', 'oomScoreAdj: expected a whole number from -1000 to 1000, got -1001'],
    ['conntrack: {maxPerCore: -1}', `conntrack.maxPerCore: ${SIZE} -1`],
    ['conntrack: {min: -1}', `conntrack.min: ${SIZE} -1`],
    ['conntrack: {tcpEstablishedTimeout: -1s}', `conntrack.tcpEstablishedTimeout: ${DURATION} "-1s"`],
    ['conntrack: {tcpCloseWaitTimeout: -1s}', `conntrack.tcpCloseWaitTimeout: ${DURATION} "-1s"`],
    ['conntrack: {udpTimeout: -1s}', `conntrack.udpTimeout: ${DURATION} "-1s"`],
    ['conntrack: {udpStreamTimeout: -1s}', `conntrack.udpStreamTimeout: ${DURATION} "-1s"`],
    ['configSyncPeriod: -1s', `configSyncPeriod: ${PERIOD} "-1s"`],
    ['logging: {format: xml}', 'logging.format: expected text or json, got "xml"'],
    ['logging: {verbosity: -1}', `logging.verbosity: ${SIZE} -1`],
    [
      'logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}',
      'logging.vmodule: works with logging format text only',
    ],
    ['hostnameOverride: " "', 'hostnameOverride: expected a node name, got " "'],
  ])('%s', async (body, problem) => {
    expect((await problemsOf(loadFile(`${body}\n`))).map(afterPlace)).toEqual([problem]);
  });
});

describe('checks between settings', () => {
  it('use the names that the operator used', async () => {
    expect(
      await problemsOf(
        loadLine([
          ...['--iptables-sync-period=1s', '--iptables-min-sync-period=2s', '--ipvs-min-sync-period=1m'],
          ...['--detect-local-mode=BridgeInterface', '--logging-format=json', '--vmodule=a=1'],
        ]),
      ),
    ).toEqual([
      '--iptables-min-sync-period: expected no more than --iptables-sync-period (1s), got "2s"',
      '--ipvs-min-sync-period: expected no more than ipvs.syncPeriod (30s), got "1m0s"',
      '--detect-local-mode: BridgeInterface needs detectLocal.bridgeInterface (--pod-bridge-interface), which is not given',
      '--vmodule: works with logging format text only',
    ]);
  });

  it('look at flags and file together', async () => {
    const problems = await problemsOf(
      loadFile('logging: {vmodule: [{filePattern: a, verbosity: 1}]}\n', ['--logging-format=json']),
    );
    expect(problems).toEqual(['logging.vmodule: works with logging format text only']);
  });

  it('say nothing about a setting that could not be read', async () => {
    const problems = await problemsOf(loadLine(['--iptables-sync-period=x', '--iptables-min-sync-period=40s']));
    expect(problems).toEqual(['--iptables-sync-period: expected a duration above 0, such as 30s, got "x"']);
  });

  it.each([
    ['detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\n'],
    ['detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}\n'],
    ['iptables: {syncPeriod: 2s, minSyncPeriod: 2s}\n'],
    ['logging: {vmodule: [{filePattern: a, verbosity: 1}]}\n'],
  ])('pass %j', async (body) => {
    await expect(loadFile(body)).resolves.toBeDefined();
  });
});
