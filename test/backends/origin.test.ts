/** Whose rules these are: those that kube-proxy 1.36.2 left, and ours. */
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import type { DesiredIptablesObject as IptablesObject } from '../../src/backends/iptables/objects.ts';
import { ipvsBackend } from '../../src/backends/ipvs/index.ts';
import type { IpvsObject } from '../../src/backends/ipvs/objects.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { chain, type NftObject, set } from '../../src/backends/nftables/objects.ts';
import { jump } from '../../src/backends/xtables/objects.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { SETTINGS } from './ipvs/memory-kernel.ts';
import { recordedHeld, recordedLines, recordedRules } from './ipvs/recorded.ts';
import { everyKind, newKernel, nodeOf, start, tcp } from './ipvs/world.ts';
import { MemoryNft } from './nftables/memory-nft.ts';
import { start as startNftables } from './nftables/world.ts';

const ids = (objects: readonly { readonly id: string }[] | undefined): readonly string[] =>
  (objects ?? []).map(({ id }) => id).sort();

const iptables = (found: readonly IptablesObject[], family: IPFamily = 'IPv4') =>
  iptablesBackend({ family }).madeByOther?.(found) ?? [];

const heldOf = async (family: IPFamily): Promise<readonly IpvsObject[]> => {
  const kernel = newKernel();
  await start(kernel, family).sync(everyKind(family));
  return [...(await kernel.backend(family).read(new AbortController().signal)).values()] as readonly IpvsObject[];
};

const ipvs = (found: readonly IpvsObject[], family: IPFamily = 'IPv4') =>
  (ipvsBackend({ family, settings: SETTINGS }).madeByOther?.(found) ?? []) as readonly IpvsObject[];

describe.each(IP_FAMILIES)('mode iptables, %s', (family) => {
  const file = family === 'IPv4' ? 'iptables-save.txt' : 'ip6tables-save.txt';

  it('has a canary where kube-proxy was', () => {
    const found = recordedRules(file);
    expect(found.length).toBeGreaterThan(10);
    expect(ids(iptables(found, family))).toEqual(ids(found));
  });

  it('is ours without it, as our first sync leaves it', () => {
    const found = recordedRules(file).filter(({ id }) => !id.includes('CANARY'));
    expect(iptables(found, family)).toEqual([]);
  });

  it('is kube-proxy’s in mode ipvs too', () => {
    const found = recordedRules(`ipvs/${file}`);
    expect(found.length).toBeGreaterThan(10);
    expect(ids(iptables(found, family))).toEqual(ids(found));
  });

  it('is ours in mode ipvs', () => {
    const { objects } = ipvsBackend({ family, settings: SETTINGS }).base(nodeOf(family));
    const rules = objects.flatMap((object) => (object.kind === 'chain' || object.kind === 'jump' ? [object] : []));
    expect(rules.length).toBeGreaterThan(15);
    expect(iptables(rules, family)).toEqual([]);
  });
});

it('kube-proxy that took our rules over has them, but for what it does not know', async () => {
  const ours = [jump('mangle', 'PREROUTING', '-j KUBE-IPVS-MARK'), jump('nat', 'OUTPUT', '-j KUBE-SVC-10.96.0.0/16')];
  const found = recordedRules('iptables-save.txt');
  expect(ids(iptables([...found, ...ours]))).toEqual(ids(found));
});

describe.each(IP_FAMILIES)('mode ipvs, %s', (family) => {
  it('is kube-proxy’s where its sets and servers are', () => {
    const found = recordedHeld(family);
    expect(new Set(found.map(({ kind }) => kind)).size).toBe(8);
    expect(ids(ipvs(found, family))).toEqual(ids(found));
  });

  it('is kube-proxy’s also when its chains have been taken over by mode iptables', () => {
    const found = recordedHeld(family).filter((object) => object.kind !== 'chain' && object.kind !== 'jump');
    expect(ids(ipvs(found, family))).toEqual(ids(found));
  });

  it('is ours where our sets are', async () => {
    const found = await heldOf(family);
    expect(found.length).toBeGreaterThan(50);
    expect(ipvs(found, family)).toEqual([]);
  });

  it('is ours in what kube-proxy does not know when it has taken over', async () => {
    const ours = await heldOf(family);
    const outFilter = recordedHeld(family).filter(({ id }) => id.includes('KUBE-IPVS-OUT-FILTER'));
    expect(outFilter).toHaveLength(2);
    const theirs = new Set(ids(ipvs([...ours, ...outFilter], family)));
    const rest = ours.filter(({ id, stays }) => !theirs.has(id) && stays !== true).map(({ id }) => id);
    expect(rest.length).toBeGreaterThan(10);
    for (const id of rest)
      expect(id).toMatch(/-f \(.*\)|EXTERNAL-POLICY-(?:MARK|OWNER)|DROP-(?:EX|IN)TERNAL|KUBE-IPVS-(?:MARK|OUT)$/);
  });

  it('is nobody’s where there is the link alone', () => {
    expect(
      ipvs(
        recordedHeld(family).filter(({ kind }) => kind === 'device'),
        family,
      ),
    ).toEqual([]);
  });
});

describe('mode nftables', () => {
  const backend = nftablesBackend({ family: 'IPv4' });
  const here = { family: 'ip', table: 'kube-proxy' } as const;
  const recorded = recordedLines('nft.txt').flatMap((line): readonly NftObject[] => {
    const [, kind, name = ''] = /^\t(chain|set|map) (\S+) \{/.exec(line) ?? [];
    if (kind === 'chain') return [chain({ ...here, name }, [])];
    return kind === undefined
      ? []
      : [set({ ...here, name, type: 'ipv4_addr', ...(kind === 'map' ? { map: 'verdict' } : {}) })];
  });

  it('is kube-proxy’s where Services have chains of their own', () => {
    expect(recorded.length).toBeGreaterThan(100);
    expect(backend.madeByOther?.(recorded)).toEqual(recorded);
  });

  it('is kube-proxy’s also where it has no Service yet', () => {
    const bare = recorded.filter(({ id }) => !id.includes('/'));
    expect(bare.length).toBeGreaterThan(10);
    expect(backend.madeByOther?.(bare)).toEqual(bare);
  });

  it('is ours where the map of endpoints is', async () => {
    const kernel = new MemoryNft();
    await startNftables(kernel).sync([tcp('web', '10.96.0.1', ['10.200.0.1'])]);
    const { signal } = new AbortController();
    const found = [...(await nftablesBackend({ family: 'IPv4', sockets: kernel.sockets() }).read(signal)).values()];
    expect(found.length).toBeGreaterThan(10);
    expect(backend.madeByOther?.(found)).toEqual([]);
  });
});
