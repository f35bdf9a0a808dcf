import { describe, expect, it } from 'vitest';
import { FLAGS } from '../../src/config/flag-table.ts';
import { loadFile, loadLine } from './loading.ts';

/** A value for each flag that a file overrides, none of them a default. */
const LOSERS: Readonly<Record<string, string>> = {
  'proxy-mode': 'ipvs',
  'detect-local-mode': 'NodeCIDR',
  'cluster-cidr': '10.0.0.0/8',
  'pod-bridge-interface': 'cni0',
  'pod-interface-name-prefix': 'veth',
  'nodeport-addresses': '10.0.0.0/8',
  'masquerade-all': 'true',
  'iptables-masquerade-bit': '3',
  'iptables-localhost-nodeports': 'false',
  'iptables-sync-period': '7s',
  'iptables-min-sync-period': '7s',
  'ipvs-sync-period': '7s',
  'ipvs-min-sync-period': '7s',
  'ipvs-scheduler': 'lc',
  'ipvs-exclude-cidrs': '10.0.0.0/8',
  'ipvs-strict-arp': 'true',
  'ipvs-tcp-timeout': '7s',
  'ipvs-tcpfin-timeout': '7s',
  'ipvs-udp-timeout': '7s',
  'bind-address': '10.0.0.1',
  'healthz-bind-address': '1.1.1.1:1',
  'metrics-bind-address': '1.1.1.1:1',
  'healthz-port': '0',
  'metrics-port': '0',
  'bind-address-hard-fail': 'true',
  profiling: 'true',
  'show-hidden-metrics-for-version': '1.35',
  'feature-gates': 'A=true',
  'oom-score-adj': '7',
  kubeconfig: '/k',
  'kube-api-content-type': 'application/json',
  'kube-api-qps': '7',
  'kube-api-burst': '7',
  'config-sync-period': '7s',
  'conntrack-max-per-core': '7',
  'conntrack-min': '7',
  'conntrack-tcp-timeout-established': '7s',
  'conntrack-tcp-timeout-close-wait': '7s',
  'conntrack-tcp-be-liberal': 'true',
  'conntrack-udp-timeout': '7s',
  'conntrack-udp-timeout-stream': '7s',
  'machine-id-file': '/m',
  'boot-id-file': '/b',
};

const WINNERS = [
  ...['config', 'write-config-to', 'cleanup', 'init-only', 'version', 'master', 'hostname-override'],
  ...['v', 'vmodule', 'logging-format', 'log-flush-frequency', 'log-text-split-stream', 'log-text-info-buffer-size'],
  ...['log-json-split-stream', 'log-json-info-buffer-size', 'source', 'iptables-tool', 'dry-run', 'startup-taint'],
  ...['service-metrics', 'ipvs-mark-mask', 'metrics-authorization'],
];

describe('with a configuration file', () => {
  it('every flag either wins or is ignored', () => {
    expect([...Object.keys(LOSERS), ...WINNERS].sort()).toEqual(FLAGS.map((flag) => flag.name).sort());
  });

  it.each(Object.entries(LOSERS))('--%s=%s is ignored, and a warning says so', async (name, text) => {
    const bare = await loadFile('');
    const { config, warnings } = await loadFile('', [`--${name}=${text}`]);
    expect(config).toEqual(bare.config);
    expect(warnings).toEqual([`ignored, as --config=/etc/p.yaml counts instead: --${name}`]);
  });

  it('all ignored flags are in one warning', async () => {
    const { warnings } = await loadFile('', [
      '--cluster-cidr=10.0.0.0/8',
      '--proxy-mode=ipvs',
      '--v=1',
      '--kubeconfig=',
    ]);
    expect(warnings).toEqual(['ignored, as --config=/etc/p.yaml counts instead: --proxy-mode, --cluster-cidr']);
  });

  it('a few flags count all the same', async () => {
    const body = 'hostnameOverride: from-file\nlogging: {format: json, verbosity: 1, flushFrequency: 7s}\n';
    const { config } = await loadFile(body, [
      ...['--hostname-override=from-flag', '--master=https://api', '--cleanup', '--init-only', '--write-config-to=/w'],
      ...['--logging-format=text', '-v=5', '--log-flush-frequency=2s', '--log-text-split-stream'],
      ...['--log-text-info-buffer-size=1Ki', '--log-json-split-stream', '--log-json-info-buffer-size=2Ki'],
      ...['--source=files:/d', '--iptables-tool=nft', '--service-metrics=500', '--ipvs-mark-mask=240', '--dry-run'],
    ]);
    expect(config).toMatchObject({
      hostnameOverride: 'from-flag',
      master: 'https://api',
      cleanup: true,
      initOnly: true,
      writeConfigTo: '/w',
      configFile: '/etc/p.yaml',
      logging: {
        format: 'text',
        verbosity: 5,
        flushFrequencyMs: 2_000,
        options: {
          text: { splitStream: true, infoBufferSize: '1Ki' },
          json: { splitStream: true, infoBufferSize: '2Ki' },
        },
      },
      pointsman: {
        source: { kind: 'files', dir: '/d' },
        iptablesTool: 'nft',
        serviceMetrics: 500,
        ipvsMarkMask: 0xf0,
        dryRun: true,
      },
    });
  });

  it('an empty or absent flag leaves the file its say', async () => {
    const { config } = await loadFile('hostnameOverride: from-file\nlogging: {verbosity: 3}\n', [
      '--hostname-override=',
    ]);
    expect(config.hostnameOverride).toBe('from-file');
    expect(config.logging.verbosity).toBe(3);
  });

  it('items of --vmodule come before those of the file', async () => {
    const body = 'logging: {vmodule: [{filePattern: f, verbosity: 1}]}\n';
    const { config } = await loadFile(body, ['--vmodule=l=2']);
    expect(config.logging.vmodule).toEqual([
      { filePattern: 'l', verbosity: 2 },
      { filePattern: 'f', verbosity: 1 },
    ]);
  });
});

describe('flags whose setting depends on the mode', () => {
  it.each([
    ['iptables', 'iptables'],
    ['ipvs', 'iptables'],
    ['nftables', 'nftables'],
  ] as const)('--masquerade-all in mode %s is %s.masqueradeAll', async (mode, group) => {
    const { config } = await loadLine(['--masquerade-all', `--proxy-mode=${mode}`]);
    const groups = { iptables: config.iptables.masqueradeAll, nftables: config.nftables.masqueradeAll };
    expect(groups).toEqual({ iptables: false, nftables: false, [group]: true });
  });

  it('--iptables-sync-period is for nftables too', async () => {
    const { config } = await loadLine([
      ...['--proxy-mode=nftables', '--iptables-sync-period=7s', '--iptables-min-sync-period=2s'],
    ]);
    expect(config.nftables).toMatchObject({ syncPeriodMs: 7_000, minSyncPeriodMs: 2_000 });
    expect(config.iptables).toMatchObject({ syncPeriodMs: 30_000, minSyncPeriodMs: undefined });
  });

  it('--iptables-sync-period is not for ipvs, and a warning says so', async () => {
    const { config, warnings } = await loadLine(['--proxy-mode=ipvs', '--iptables-sync-period=7s']);
    expect(config.ipvs.syncPeriodMs).toBe(30_000);
    expect(config.iptables.syncPeriodMs).toBe(30_000);
    expect(warnings).toContain('--iptables-sync-period has no effect in mode ipvs');
  });

  it('--iptables-masquerade-bit is not for nftables, and a warning says so', async () => {
    const { config, warnings } = await loadLine(['--proxy-mode=nftables', '--iptables-masquerade-bit=3']);
    expect(config.nftables.masqueradeBit).toBe(14);
    expect(warnings).toContain('--iptables-masquerade-bit has no effect in mode nftables');
  });
});

describe('server addresses', () => {
  it.each([
    [['--bind-address=::'], '[::]:10256', '[::1]:10249'],
    [['--bind-address=[::]'], '[::]:10256', '[::1]:10249'],
    [['--bind-address=10.0.0.1'], '0.0.0.0:10256', '127.0.0.1:10249'],
    [['--bind-address=::', '--healthz-bind-address=127.0.0.1'], '127.0.0.1:10256', '[::1]:10249'],
    [['--healthz-bind-address=fd00::1', '--metrics-bind-address=[fd00::1]:9'], '[fd00::1]:10256', '[fd00::1]:9'],
    [['--healthz-bind-address=10.0.0.1', '--healthz-port=9'], '10.0.0.1:9', '127.0.0.1:10249'],
    [['--healthz-bind-address=10.0.0.1:8', '--healthz-port=9'], '10.0.0.1:8', '127.0.0.1:10249'],
    [['--healthz-port=9', '--metrics-port=9'], '0.0.0.0:10256', '127.0.0.1:10249'],
    [['--healthz-port=0', '--healthz-bind-address=10.0.0.1:8'], '', '127.0.0.1:10249'],
  ])('%j', async (argv, healthz, metrics) => {
    const { config } = await loadLine(argv);
    expect([config.healthzBindAddress, config.metricsBindAddress]).toEqual([healthz, metrics]);
  });
});
