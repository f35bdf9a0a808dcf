import { describe, expect, it } from 'vitest';
import { normalizeArgv } from '../../src/config/argv.ts';
import { lineProblem } from './loading.ts';

const words = (line: string): readonly string[] => line.split(' ').filter((word) => word !== '');

describe('normalizeArgv', () => {
  it.each([
    ['--proxy_mode=nftables', '--proxy-mode=nftables'],
    ['--proxy_mode nftables', '--proxy-mode=nftables'],
    ['--hostname-override=my_node', '--hostname-override=my_node'],
    ['-v=2', '--v=2'],
    ['-v 2', '--v=2'],
    ['--v 2', '--v=2'],
    ['-v2', '-v2'],
    ['-v', '--v'],
    ['--cleanup', '--cleanup=true'],
    ['--cleanup=false', '--cleanup=false'],
    ['--cleanup dump', '--cleanup=true dump'],
    ['--masquerade_all --cleanup', '--masquerade-all=true --cleanup=true'],
    ['--version', '--version=true'],
    ['--version=raw', '--version=raw'],
    ['--oom-score-adj -998', '--oom-score-adj=-998'],
    ['--config --cleanup', '--config=--cleanup'],
    ['--feature-gates=A=true,B=false', '--feature-gates=A=true,B=false'],
    ['dump --json --some_thing x', 'dump --json --some-thing x'],
    ['--cleanup -- --cleanup -v=2', '--cleanup=true -- --cleanup -v=2'],
    ['-h', '-h'],
  ])('%s → %s', (line, normal) => {
    expect(normalizeArgv(words(line))).toEqual(words(normal));
  });

  it('changes nothing the second time', () => {
    const once = normalizeArgv(['-v=2', '--proxy_mode', 'ipvs', '--cleanup', 'x', '--', '-v=3']);
    expect(normalizeArgv(once)).toEqual(once);
  });
});

describe('a command line that cannot be parsed', () => {
  it.each([
    [['--proxymode=ipvs'], 'unknown flag --proxymode, the nearest known one is --proxy-mode'],
    [
      ['--nodeport-address', '10.0.0.0/8'],
      'unknown flag --nodeport-address, the nearest known one is --nodeport-addresses',
    ],
    [['--iptables-masq-bit=3'], 'unknown flag --iptables-masq-bit, the nearest known one is --iptables-masquerade-bit'],
    [['-proxy-mode=ipvs'], 'unknown flag -proxy-mode, the nearest known one is --proxy-mode'],
    [['--zzzzzzzzzz'], 'unknown flag --zzzzzzzzzz'],
    [['--config'], '--config: a value is missing'],
    [['-v'], '--v: a value is missing'],
    [['--masquerade-all', 'false'], 'too many arguments. Expected 0 arguments but got 1.'],
  ])('%j: %s', (argv, problem) => {
    expect(lineProblem(...argv)).toBe(problem);
  });

  it('help is no problem', () => {
    expect(lineProblem('--help')).toBeUndefined();
  });
});
