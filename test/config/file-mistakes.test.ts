import { describe, expect, it } from 'vitest';
import { loadFile, loadLine, problemsOf } from './loading.ts';

const AT = '/etc/p.yaml';

describe('mistakes in a file', () => {
  it.each([
    [
      'an unknown key',
      'iptables:\n  masqueradBit: 3\n',
      [
        '4:3: iptables.masqueradBit: unknown key, expected a key of iptables, the nearest known one is iptables.masqueradeBit',
      ],
    ],
    [
      'an unknown key at the top',
      'clusterCidrs: x\n',
      [
        '3:1: clusterCidrs: unknown key, expected a key of KubeProxyConfiguration, the nearest known one is clusterCIDR',
      ],
    ],
    [
      'a key in the wrong place',
      'masqueradeAll: true\n',
      [
        '3:1: masqueradeAll: unknown key, expected a key of KubeProxyConfiguration, the nearest known one is iptables.masqueradeAll',
      ],
    ],
    [
      'an unknown key far down',
      'logging: {options: {json: {qqqqqqqqqqqqqqqqqqqqqqqqqqqq: 1}}}\n',
      ['3:28: logging.options.json.qqqqqqqqqqqqqqqqqqqqqqqqqqqq: unknown key, expected a key of logging.options.json'],
    ],
    [
      'a doubled key',
      'iptables:\n  masqueradeBit: 3\n  masqueradeBit: 4\n',
      ['5:3: iptables.masqueradeBit: given twice'],
    ],
    ['a doubled group', 'ipvs: {}\nipvs: {}\n', ['4:1: ipvs: given twice']],
    [
      'text for a number',
      'oomScoreAdj: "7"\n',
      ['3:1: oomScoreAdj: expected a whole number from -1000 to 1000, got "7"'],
    ],
    ['a number for text', 'mode: 7\n', ['3:1: mode: expected iptables, ipvs or nftables, got 7']],
    ['a word for a boolean', 'enableProfiling: yes\n', ['3:1: enableProfiling: expected true or false, got "yes"']],
    [
      'a number for a duration',
      'iptables: {syncPeriod: 30}\n',
      ['3:12: iptables.syncPeriod: expected a duration above 0, such as 30s, got 30'],
    ],
    [
      'empty text for a duration',
      'configSyncPeriod: ""\n',
      ['3:1: configSyncPeriod: expected a duration above 0, such as 30s, got ""'],
    ],
    [
      'text for a list',
      'nodePortAddresses: primary\n',
      ['3:1: nodePortAddresses: expected CIDRs, or just "primary", got "primary"'],
    ],
    [
      'a list for text',
      'clusterCIDR: [10.0.0.0/8]\n',
      ['3:1: clusterCIDR: expected one CIDR, or an IPv4 and an IPv6 one with a comma between, got ["10.0.0.0/8"]'],
    ],
    ['text for a group', 'ipvs: rr\n', ['3:1: ipvs: expected a group of keys, got "rr"']],
    ['a list for a group', 'ipvs: [rr]\n', ['3:1: ipvs: expected a group of keys, got ["rr"]']],
    [
      'a gate that is no boolean',
      'featureGates: {A: "true"}\n',
      ['3:1: featureGates: expected feature gates, each true or false (Name=true,Other=false), got {"A":"true"}'],
    ],
    [
      'an unknown key in vmodule',
      'logging: {vmodule: [{filePatern: a, verbosity: 1}]}\n',
      [
        '3:11: logging.vmodule: expected items of a file pattern and a level (pattern=2 as a flag, {filePattern, verbosity} in a file), got [{"filePatern":"a","verbosity":1}]',
      ],
    ],
    [
      'several at once',
      'mode: x\nipvs: {strictArp: true}\n',
      [
        '3:1: mode: expected iptables, ipvs or nftables, got "x"',
        '4:8: ipvs.strictArp: unknown key, expected a key of ipvs, the nearest known one is ipvs.strictARP',
      ],
    ],
    ['bad YAML', 'mode: ipvs\n iptables: {}\n', ['3:7: Nested mappings are not allowed in compact mappings']],
    ['a second document', '---\nmode: ipvs\n', ['3:1: a second document begins here']],
  ])('%s', async (_, body, problems) => {
    expect(await problemsOf(loadFile(body))).toEqual(problems.map((problem) => `${AT}:${problem}`));
  });

  it.each([
    ['', [`${AT}: expected a KubeProxyConfiguration, got null`]],
    ['- a\n', [`${AT}: expected a KubeProxyConfiguration, got ["a"]`]],
    [
      'mode: ipvs\n',
      [
        `${AT}: apiVersion: expected kubeproxy.config.k8s.io/v1alpha1, got nothing`,
        `${AT}: kind: expected KubeProxyConfiguration, got nothing`,
      ],
    ],
    [
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeletConfiguration\nfoo: 1\n',
      [`${AT}:2:1: kind: expected KubeProxyConfiguration, got "KubeletConfiguration"`],
    ],
    ['mode: *nothing\n', [`${AT}: Unresolved alias (the anchor must be set before the alias): nothing`]],
  ])('%j is no such file', async (text, problems) => {
    expect(await problemsOf(loadLine([`--config=${AT}`], { [AT]: text }))).toEqual(problems);
  });

  it('is reported together with mistakes in flags', async () => {
    expect(await problemsOf(loadFile('mode: x\n', ['-v=y']))).toEqual([
      '--v: expected a whole number from 0 to 2147483647, got "y"',
      `${AT}:3:1: mode: expected iptables, ipvs or nftables, got "x"`,
    ]);
  });

  it('a mapping named __proto__ changes nothing else', async () => {
    expect(await problemsOf(loadFile('__proto__: {mode: ipvs}\n'))).toHaveLength(1);
  });
});
