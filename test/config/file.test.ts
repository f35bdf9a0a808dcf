import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { profileOf } from '../../src/backends/index.ts';
import { loadConfig } from '../../src/config/load.ts';
import { fileOf, flagsOf, loadFile, loadLine, problemsOf } from './loading.ts';

const AT = '/etc/p.yaml';

/** What kubeadm writes into the ConfigMap kube-proxy: every field, mostly at its zero value. */
const KUBEADM = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
featureGates: null
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
windowsRunAsService: false
`;

describe("kubeadm's file", () => {
  it('is the defaults but for what it says, without a warning', async () => {
    const { config, warnings } = await loadLine([`--config=${AT}`], { [AT]: KUBEADM });
    const bare = await loadLine([]);
    expect(config).toEqual({
      ...bare.config,
      configFile: AT,
      clusterCIDR: ['10.244.0.0/16'],
      clientConnection: { ...bare.config.clientConnection, kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf' },
    });
    expect(warnings).toEqual([]);
  });
});

describe('values in a file', () => {
  it.each([
    ['syncPeriod of 0s is the default', 'iptables: {syncPeriod: 0s}', { iptables: { syncPeriodMs: 30_000 } }],
    ['minSyncPeriod of 0s is unset', 'iptables: {minSyncPeriod: 0s}', { iptables: { minSyncPeriodMs: undefined } }],
    ['minSyncPeriod counts', 'nftables: {minSyncPeriod: 10s}', { nftables: { minSyncPeriodMs: 10_000 } }],
    ['a bit of 0 is bit 0', 'iptables: {masqueradeBit: 0}', { iptables: { masqueradeBit: 0 } }],
    [
      'conntrack of 0 is 0',
      'conntrack: {maxPerCore: 0, tcpCloseWaitTimeout: 0s}',
      { conntrack: { maxPerCore: 0, tcpCloseWaitTimeoutMs: 0 } },
    ],
    ['a score of 0 is 0', 'oomScoreAdj: 0', { oomScoreAdj: 0 }],
    ['a group may be null', 'conntrack: null\niptables:\n', { conntrack: { min: 131_072 } }],
    ['nanoseconds to flush', 'logging: {flushFrequency: 2000000000}', { logging: { flushFrequencyMs: 2_000 } }],
    ['a duration to flush', 'logging: {flushFrequency: 2s}', { logging: { flushFrequencyMs: 2_000 } }],
    [
      'a size as a number',
      'logging: {options: {json: {infoBufferSize: 64}}}',
      { logging: { options: { json: { infoBufferSize: '64' } } } },
    ],
    ['gates', 'featureGates: {A: true, B: false}', { featureGates: { A: true, B: false } }],
    ['brackets', "bindAddress: '[::]'", { bindAddress: '::', healthzBindAddress: '[::]:10256' }],
    ['a bare IP', 'healthzBindAddress: 10.0.0.1', { healthzBindAddress: '10.0.0.1:10256' }],
    ['NodePorts of nftables', 'mode: nftables', { nodePortAddresses: ['primary'] }],
    ['NodePorts as told', 'mode: nftables\nnodePortAddresses: [10.0.0.1/8]', { nodePortAddresses: ['10.0.0.0/8'] }],
    ['primary elsewhere', 'nodePortAddresses: [primary]', { nodePortAddresses: ['primary'] }],
    ['two families', "clusterCIDR: 'fd00::/48, 10.0.0.0/8'", { clusterCIDR: ['fd00::/48', '10.0.0.0/8'] }],
    ['merged maps', 'ipvs: &p {syncPeriod: 7s}\nnftables: {<<: *p}', { nftables: { syncPeriodMs: 7_000 } }],
  ])('%s', async (_, body, expected) => {
    expect((await loadFile(body)).config).toMatchObject(expected);
  });

  it('JSON is read as well, tabs and all', async () => {
    const text = JSON.stringify(
      { apiVersion: 'kubeproxy.config.k8s.io/v1alpha1', kind: 'KubeProxyConfiguration', ipvs: { scheduler: 'lc' } },
      undefined,
      '\t',
    );
    expect((await loadLine(['--config=c.json'], { 'c.json': text })).config.ipvs.scheduler).toBe('lc');
  });
});

describe('on disk', () => {
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'config-'));
    await writeFile(join(dir, 'c.yaml'), fileOf('mode: ipvs\n'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  it('a file is read', async () => {
    const { config } = await loadConfig({ flags: flagsOf(`--config=${join(dir, 'c.yaml')}`), profileOf });
    expect(config).toMatchObject({ mode: 'ipvs', configFile: join(dir, 'c.yaml') });
  });

  it('a missing one is a problem', async () => {
    const path = join(dir, 'none.yaml');
    const problems = await problemsOf(loadConfig({ flags: flagsOf('--config', path), profileOf }));
    expect(problems).toEqual([`--config=${path}: there is no such file`]);
  });

  it('so is a directory', async () => {
    const problems = await problemsOf(loadConfig({ flags: flagsOf('--config', dir), profileOf }));
    expect(problems).toEqual([`--config=${dir}: that is a directory`]);
  });

  it('so is any other failure', async () => {
    const readFile = (): Promise<string> => Promise.reject(new Error('disk on fire'));
    const problems = await problemsOf(loadConfig({ flags: flagsOf('--config=x'), profileOf, readFile }));
    expect(problems).toEqual(['--config=x: disk on fire']);
  });
});
