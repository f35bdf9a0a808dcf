import { describe, expect, it } from 'vitest';
import { loadFile, loadLine } from './loading.ts';

const names = (warnings: readonly string[]): readonly string[] =>
  warnings.map((warning) => warning.split(' ')[0] ?? '');

describe('settings without effect', () => {
  it('nothing set, nothing said', async () => {
    expect((await loadLine([])).warnings).toEqual([]);
    expect((await loadFile('')).warnings).toEqual([]);
  });

  it.each([
    '--show-hidden-metrics-for-version=1.35',
    '--kube-api-content-type=application/json',
    '--kube-api-qps=7',
    '--kube-api-burst=7',
    '--config-sync-period=1m',
    '--version=v1.2.3',
    '--vmodule=a=1',
    '--log-flush-frequency=1s',
    '--log-text-info-buffer-size=1Ki',
    '--log-json-info-buffer-size=1Ki',
    '--machine-id-file=/m',
    '--boot-id-file=/b',
  ])('%s is named', async (flag) => {
    const { warnings } = await loadLine([flag]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(new RegExp(`^${flag.split('=')[0]} has no effect: .`));
  });

  it.each([
    ['winkernel: {enableDSR: true, networkName: n}', ['winkernel.enableDSR', 'winkernel.networkName']],
    ['windowsRunAsService: true', ['windowsRunAsService']],
    ['portRange: 1-2', ['portRange']],
    ['resourceContainer: /kube-proxy\nudpIdleTimeout: 250ms', ['resourceContainer', 'udpIdleTimeout']],
    ['clientConnection: {acceptContentTypes: application/json}', ['clientConnection.acceptContentTypes']],
    ['logging: {options: {json: {infoBufferSize: 1Ki}}}', ['logging.options.json.infoBufferSize']],
  ])('%s is named', async (body, expected) => {
    expect(names((await loadFile(`${body}\n`)).warnings)).toEqual(expected);
  });

  it.each(['ipvs', 'nftables'])('NodePorts on localhost are named in mode %s, if asked for', async (mode) => {
    const of = async (...argv: readonly string[]) => (await loadLine([`--proxy-mode=${mode}`, ...argv])).warnings;
    expect(await of()).toEqual([]);
    expect(await of('--iptables-localhost-nodeports=false')).toEqual([]);
    const reason = `has no effect: in mode ${mode} NodePorts do not answer on 127.0.0.1, as in kube-proxy`;
    expect(await of('--iptables-localhost-nodeports')).toEqual([`--iptables-localhost-nodeports ${reason}`]);
    const file = await loadFile(`mode: ${mode}\niptables: {localhostNodePorts: true}\n`);
    expect(file.warnings).toEqual([`iptables.localhostNodePorts ${reason}`]);
  });

  it('the start-up taint is named where the cluster is a folder', async () => {
    const of = async (...argv: readonly string[]) => (await loadLine(['--startup-taint=a.b/c', ...argv])).warnings;
    expect(await of()).toEqual([]);
    expect(await of('--source=files:/d')).toEqual(['--startup-taint has no effect: objects come from files']);
  });

  it('feature gates are named one by one, but for those that do something', async () => {
    const { warnings } = await loadLine(['--feature-gates=ComponentFlagz=false,A=true,ComponentStatusz=true,B=false']);
    expect(warnings).toEqual(
      ['A', 'B'].map(
        (gate) => `--feature-gates: ${gate} has no effect: there is no such feature to turn on or off here`,
      ),
    );
  });

  it('a split stream of the other format is named', async () => {
    expect((await loadLine(['--log-text-split-stream'])).warnings).toEqual([]);
    const reason = (format: string) => `has no effect: the logging format is ${format}`;
    expect((await loadLine(['--log-json-split-stream'])).warnings).toEqual([
      `--log-json-split-stream ${reason('text')}`,
    ]);
    const body = 'logging: {format: json, options: {text: {splitStream: true}, json: {splitStream: true}}}\n';
    expect((await loadFile(body)).warnings).toEqual([`logging.options.text.splitStream ${reason('json')}`]);
  });

  it('a setting given at its default is not named', async () => {
    const { warnings } = await loadLine([
      ...['--oom-score-adj=-999', '--healthz-bind-address=0.0.0.0:10256', '--profiling=false'],
      ...['--feature-gates=', '--kube-api-qps=5', '--version'],
    ]);
    expect(warnings).toEqual([]);
  });
});

describe('settings with effect are not named', () => {
  it('as flags', async () => {
    const { warnings } = await loadLine([
      ...['--proxy-mode=iptables', '--hostname-override=n', '--bind-address=10.0.0.1', '--kubeconfig=/k', '--master=m'],
      ...[
        '--iptables-masquerade-bit=3',
        '--masquerade-all',
        '--iptables-sync-period=7s',
        '--iptables-min-sync-period=1s',
      ],
      ...['--detect-local-mode=BridgeInterface', '--pod-bridge-interface=b', '--pod-interface-name-prefix=p'],
      ...['--cluster-cidr=10.0.0.0/8', '--nodeport-addresses=primary', '--conntrack-tcp-be-liberal'],
      ...['--logging-format=json', '-v=4', '--cleanup', '--init-only', '--write-config-to=/w'],
      ...[
        '--ipvs-sync-period=7s',
        '--ipvs-min-sync-period=7s',
        '--ipvs-scheduler=lc',
        '--ipvs-exclude-cidrs=10.0.0.0/8',
      ],
      ...['--ipvs-strict-arp', '--ipvs-tcp-timeout=7s', '--ipvs-tcpfin-timeout=7s', '--ipvs-udp-timeout=7s'],
      ...['--iptables-localhost-nodeports=false', '--conntrack-max-per-core=0', '--conntrack-min=0'],
      ...['--conntrack-tcp-timeout-established=0', '--conntrack-tcp-timeout-close-wait=0'],
      ...['--conntrack-udp-timeout=1s', '--conntrack-udp-timeout-stream=1s'],
      ...['--healthz-bind-address=1.1.1.1:1', '--healthz-port=0', '--metrics-bind-address=1.1.1.1:1'],
      ...['--metrics-port=0', '--bind-address-hard-fail', '--profiling', '--oom-score-adj=0'],
      ...['--feature-gates=ComponentFlagz=false', '--log-json-split-stream'],
      ...['--source=files:/d', '--iptables-tool=nft', '--service-metrics=5', '--ipvs-mark-mask=0xff', '--dry-run'],
    ]);
    expect(warnings).toEqual([]);
  });
});
