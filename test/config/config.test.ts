import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { FLAGS, usualTargetOf } from '../../src/config/flag-table.ts';
import { nodeOptions } from '../../src/config/node-options.ts';
import { toV1alpha1, toYaml } from '../../src/config/write.ts';
import { loadFile, loadLine } from './loading.ts';

const isFrozen = (value: unknown): boolean =>
  typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));

const load = async (...argv: readonly string[]): Promise<Config> => (await loadLine(argv)).config;

describe('the configuration', () => {
  it("has kube-proxy's defaults", async () => {
    expect(await load()).toMatchObject({
      mode: 'iptables',
      bindAddress: '0.0.0.0',
      healthzBindAddress: '0.0.0.0:10256',
      metricsBindAddress: '127.0.0.1:10249',
      iptables: { masqueradeBit: 14, localhostNodePorts: true, syncPeriodMs: 30_000, minSyncPeriodMs: undefined },
      ipvs: { syncPeriodMs: 30_000, minSyncPeriodMs: undefined },
      nftables: { masqueradeBit: 14, syncPeriodMs: 30_000, minSyncPeriodMs: undefined },
      detectLocalMode: 'ClusterCIDR',
      nodePortAddresses: [],
      oomScoreAdj: -999,
      conntrack: {
        maxPerCore: 32_768,
        min: 131_072,
        tcpEstablishedTimeoutMs: 86_400_000,
        tcpCloseWaitTimeoutMs: 3_600_000,
      },
      configSyncPeriodMs: 900_000,
      clientConnection: { contentType: 'application/vnd.kubernetes.protobuf', qps: 5, burst: 10 },
      logging: { format: 'text', flushFrequencyMs: 5_000, verbosity: 0, vmodule: [] },
      pointsman: {
        source: { kind: 'apiserver' },
        iptablesTool: 'auto',
        serviceMetrics: 0,
        ipvsMarkMask: 0x1f7f,
        dryRun: false,
      },
    });
  });

  it('knows no file, master or place to write when none was given', async () => {
    const { master, configFile, writeConfigTo } = await load();
    expect({ master, configFile, writeConfigTo }).toEqual({});
  });

  it('cannot be changed, at any depth', async () => {
    const { config } = await loadFile(
      'logging: {vmodule: [{filePattern: a, verbosity: 1}]}\nfeatureGates: {A: true}\n',
    );
    expect(isFrozen(config)).toBe(true);
    expect(() => {
      (config.iptables as { masqueradeBit: number }).masqueradeBit = 1;
    }).toThrow(TypeError);
    expect(() => (config.nodePortAddresses as string[]).push('x')).toThrow(TypeError);
  });

  it('of one load is not that of another', async () => {
    const [first, second] = [await load(), await load()];
    expect(first).toEqual(second);
    expect(first.nodePortAddresses).not.toBe(second.nodePortAddresses);
  });
});

describe('the configuration as YAML', () => {
  it('is complete, and in the units of the file', async () => {
    const written = toV1alpha1(await load('--cluster-cidr=10.0.0.0/8,fd00::/8', '--iptables-min-sync-period=1500ms'));
    expect(written).toMatchObject({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      clusterCIDR: '10.0.0.0/8,fd00::/8',
      iptables: { syncPeriod: '30s', minSyncPeriod: '1.5s' },
      nftables: { minSyncPeriod: '0s' },
      conntrack: { tcpEstablishedTimeout: '24h0m0s' },
      logging: { flushFrequency: '5s' },
    });
    for (const own of ['pointsman', 'master', 'cleanup', 'initOnly', 'writeConfigTo', 'configFile', 'profile']) {
      expect(written).not.toHaveProperty(own);
    }
  });

  it.each([
    [[]],
    [['--proxy-mode=nftables', '--masquerade-all', '--iptables-sync-period=90s']],
    [['--bind-address=::', '--cluster-cidr=fd00::/8', '--feature-gates=AllMs=true', '--vmodule=a=1,b=2']],
    [['--oom-score-adj=0', '--conntrack-max-per-core=0', '--conntrack-tcp-timeout-close-wait=0', '-v=9']],
    [['--ipvs-exclude-cidrs=10.0.0.0/8,11.0.0.0/8', '--detect-local-mode=BridgeInterface', '--pod-bridge-interface=b']],
  ])('gives the same again when it is loaded: %j', async (argv) => {
    const config = await load(...argv);
    const { config: again } = await loadLine(['--config=w'], { w: await toYaml(config) });
    expect(again).toEqual({ ...config, configFile: 'w' });
  });
});

describe('nodeOptions', () => {
  it('carries what shapes rules', async () => {
    const config = await load(
      ...['--bind-address=10.0.0.7', '--detect-local-mode=InterfaceNamePrefix', '--pod-interface-name-prefix=veth'],
      ...[
        '--cluster-cidr=10.0.0.0/8',
        '--nodeport-addresses=10.0.0.0/8',
        '--iptables-masquerade-bit=3',
        '--masquerade-all',
      ],
      ...['--conntrack-tcp-be-liberal', '--pod-bridge-interface=cni0'],
    );
    expect(nodeOptions(config, 'n1')).toEqual({
      nodeName: 'n1',
      bindAddress: '10.0.0.7',
      detectLocalMode: 'InterfaceNamePrefix',
      clusterCIDRs: [{ text: '10.0.0.0/8', family: 'IPv4', prefix: 8, bytes: [10, 0, 0, 0] }],
      bridgeInterface: 'cni0',
      interfaceNamePrefix: 'veth',
      nodePortAddresses: ['10.0.0.0/8'],
      localhostNodePorts: true,
      seesLocalAddresses: false,
      seesServiceCIDRs: false,
      masqueradeBit: 3,
      masqueradeAll: true,
      dropInvalid: false,
    });
  });

  it.each(['0.0.0.0', '::', '[::]', '0:0::0'])('bind address %s says nothing about the node', async (address) => {
    expect(nodeOptions(await load(`--bind-address=${address}`), 'n').bindAddress).toBeUndefined();
  });

  it('takes mark and masquerading from the active mode', async () => {
    const body = 'iptables: {masqueradeBit: 1, masqueradeAll: true}\nnftables: {masqueradeBit: 2}\n';
    const of = async (mode: string): Promise<unknown> => {
      const { masqueradeBit, masqueradeAll } = nodeOptions((await loadFile(`${body}mode: ${mode}\n`)).config, 'n');
      return [masqueradeBit, masqueradeAll];
    };
    expect(await of('iptables')).toEqual([1, true]);
    expect(await of('ipvs')).toEqual([1, true]);
    expect(await of('nftables')).toEqual([2, false]);
  });

  it('asks for NodePorts on localhost in mode iptables only, and not where they are off', async () => {
    const of = async (...argv: readonly string[]) => nodeOptions(await load(...argv), 'n').localhostNodePorts;
    expect(await of()).toBe(true);
    expect(await of('--iptables-localhost-nodeports=false')).toBe(false);
    expect(await of('--proxy-mode=ipvs')).toBe(false);
    expect(await of('--proxy-mode=nftables', '--iptables-localhost-nodeports')).toBe(false);
  });

  it('asks for primary NodePorts with nftables', async () => {
    expect(nodeOptions(await load('--proxy-mode=nftables'), 'n').nodePortAddresses).toEqual(['primary']);
  });
});

describe('flags and settings', () => {
  it('no two flags set the same setting in one mode, except by name', () => {
    const targets = FLAGS.map(usualTargetOf);
    expect(new Set(targets).size).toBe(targets.length);
  });
});
