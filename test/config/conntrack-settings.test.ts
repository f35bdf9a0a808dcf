import { describe, expect, it } from 'vitest';
import type { ConntrackConfig } from '../../src/config/config.ts';
import { CONNTRACK_PATHS, conntrackSettings } from '../../src/config/conntrack-settings.ts';
import { loadLine } from './loading.ts';

const NOTHING: ConntrackConfig = {
  maxPerCore: 0,
  min: 0,
  tcpEstablishedTimeoutMs: 0,
  tcpCloseWaitTimeoutMs: 0,
  tcpBeLiberal: false,
  udpTimeoutMs: 0,
  udpStreamTimeoutMs: 0,
};

const HASH_SIZE = '/sys/module/nf_conntrack/parameters/hashsize';
/** By the last part of the name. */
const wanted = (
  config: Partial<ConntrackConfig>,
  cpus = 4,
  present: Readonly<Record<string, number>> = { [HASH_SIZE]: 1_000_000 },
): Readonly<Record<string, number>> =>
  Object.fromEntries(
    conntrackSettings({ ...NOTHING, ...config }, cpus, new Map(Object.entries(present))).map(({ path, value }) => [
      path.replace(/^.*\/(nf_conntrack_)?/, ''),
      value,
    ]),
  );

describe('the size of the table', () => {
  // O8
  it.each([
    ['nothing for each core, no least', { maxPerCore: 0, min: 0 }, 4, undefined],
    ['nothing for each core: the least does not count', { maxPerCore: 0, min: 100_000 }, 4, undefined],
    ['so many for each core', { maxPerCore: 67_890, min: 1 }, 4, 271_560],
    ['so many for each core, up to a bound', { maxPerCore: 67_890, min: 1 }, 16, 1_048_576],
    ['a least that is more', { maxPerCore: 1, min: 1_000 }, 4, 1_000],
    ['a least beyond the bound', { maxPerCore: 1, min: 2_000_000 }, 4, 2_000_000],
    ['a least beyond the bound, which the cores reach', { maxPerCore: 67_890, min: 2_000_000 }, 16, 1_048_576],
    ['the default on 512 cores', { maxPerCore: 32_768, min: 131_072 }, 512, 1_048_576],
    ['the default on 32 cores', { maxPerCore: 32_768, min: 131_072 }, 32, 1_048_576],
    ['the default on 2 cores', { maxPerCore: 32_768, min: 131_072 }, 2, 131_072],
  ])('%s', (_, config, cpus, expected) => {
    expect(wanted(config, cpus)).toEqual(expected === undefined ? {} : { max: expected });
  });

  it.each([
    [undefined, 250],
    [0, 250],
    [249, 250],
    [250, undefined],
    [1_000, undefined],
  ])('with %s buckets, of which there is to be one for four', (present, expected) => {
    const found = wanted({ maxPerCore: 1_000 }, 1, present === undefined ? {} : { [HASH_SIZE]: present });
    expect(found).toEqual({ max: 1_000, ...(expected === undefined ? {} : { hashsize: expected }) });
  });

  it('has its buckets also when it is right itself', () => {
    const present = { '/proc/sys/net/netfilter/nf_conntrack_max': 1_000, [HASH_SIZE]: 10 };
    expect(wanted({ maxPerCore: 1_000 }, 1, present)).toEqual({ hashsize: 250 });
  });
});

describe('the time-outs', () => {
  it.each([
    ['tcpEstablishedTimeoutMs', 'tcp_timeout_established'],
    ['tcpCloseWaitTimeoutMs', 'tcp_timeout_close_wait'],
    ['udpTimeoutMs', 'udp_timeout'],
    ['udpStreamTimeoutMs', 'udp_timeout_stream'],
  ])('%s', (field, name) => {
    expect(wanted({ [field]: 0 })).toEqual({});
    expect(wanted({ [field]: 90_000 })).toEqual({ [name]: 90 });
    expect(wanted({ [field]: 90_999 })).toEqual({ [name]: 90 });
    expect(wanted({ [field]: 500 })).toEqual({ [name]: 1 });
  });
});

it('liberal is switched on, never off', () => {
  expect(wanted({ tcpBeLiberal: true })).toEqual({ tcp_be_liberal: 1 });
  const on = { '/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal': 1 };
  expect(wanted({ tcpBeLiberal: false }, 4, on)).toEqual({});
});

it('what is so already is not written', () => {
  const config = { ...NOTHING, maxPerCore: 1_000, udpTimeoutMs: 30_000, tcpBeLiberal: true };
  const first = conntrackSettings(config, 4, new Map());
  expect(first).toHaveLength(4);
  expect(conntrackSettings(config, 4, new Map(first.map(({ path, value }) => [path, value])))).toEqual([]);
});

it('the defaults are kube-proxy’s', async () => {
  const { config } = await loadLine([]);
  const settings = conntrackSettings(config.conntrack, 8, new Map());
  expect(settings.map(({ path, value }) => `${path.split('/').at(-1)} ${value}`)).toEqual([
    'nf_conntrack_max 262144',
    'hashsize 65536',
    'nf_conntrack_tcp_timeout_established 86400',
    'nf_conntrack_tcp_timeout_close_wait 3600',
  ]);
});

it('every path is among those that are looked at', () => {
  const all = { ...NOTHING, maxPerCore: 1, tcpEstablishedTimeoutMs: 1, tcpCloseWaitTimeoutMs: 1, tcpBeLiberal: true };
  const settings = conntrackSettings({ ...all, udpTimeoutMs: 1, udpStreamTimeoutMs: 1 }, 4, new Map());
  expect(settings.map(({ path }) => path).sort()).toEqual([...CONNTRACK_PATHS].sort());
});
