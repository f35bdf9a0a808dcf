/** The whole engine over the tables of a strict kernel in memory: what it writes is always taken, and ends the same. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DesiredIptablesObject } from '../../../src/backends/iptables/objects.ts';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import { KernelError } from '../../../src/dataplane/contract.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import { ownerOf } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { input } from '../../dataplane/fake-backend.ts';
import { nodeOf } from './dispatching.ts';
import { type ServiceDraft, serviceOf } from './services.ts';
import { type BackendOptions, backendOver, parse, Tables } from './tables.ts';

const { signal } = new AbortController();

const PLAIN: ServiceDraft = {
  protocol: 'TCP',
  endpoints: 'elsewhere',
  isExternal: false,
  isLocal: false,
  hasNodePort: true,
  ranges: 'open',
};

/** Plain Services; in IPv6 with addresses whose prefixes are too long for a chain's name. */
const many = (count: number, family: IPFamily): readonly ServiceEndpoints[] =>
  Array.from({ length: count }, (_, n) => {
    const service = serviceOf(PLAIN, n, family);
    if (family === 'IPv4') return service;
    const clusterIP = `fd00:10:96:1234::${(n + 4_096).toString(16)}`;
    return { ...service, port: { ...service.port, clusterIP } };
  });

interface Engine {
  readonly reconciler: Reconciler<DesiredIptablesObject, unknown>;
  readonly sync: (services: readonly ServiceEndpoints[], gone?: readonly string[]) => Promise<unknown>;
  /** Whom the kernel refused. */
  readonly refused: readonly string[];
}

const start = (tables: Tables, options: BackendOptions = {}): Engine => {
  const refused: string[] = [];
  const reconciler = new Reconciler(backendOver(tables, options), {
    signal,
    onQuarantine: (owner, message) => refused.push(`${owner}: ${message}`),
  });
  const node = nodeOf(options.family ?? 'IPv4');
  return { reconciler, refused, sync: (services, gone = []) => reconciler.sync(input(services, gone, node)) };
};

const FOREIGN = `*nat
:THEIRS - [0:0]
-A PREROUTING -p tcp -m tcp --dport 9999 -j REDIRECT
-A PREROUTING -m comment --comment "no \\"rule -j KUBE-SERVICES here\\"" -j THEIRS
-A THEIRS -s 10.0.0.0/8 -j RETURN
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
COMMIT
`;
/** What stays of ours: somebody else may rely on it, and wrote the same. */
const LEFT = `*filter
-I KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-I OUTPUT -j KUBE-FIREWALL
COMMIT
`;
const foreignLines = FOREIGN.match(/^-A .*$/gm) ?? [];

const FAMILIES = ['IPv4', 'IPv6'] as const;

describe.each(FAMILIES)('%s: hundreds of Services in small pieces', (family) => {
  const options = { family, maxRules: 100, groupSize: 300 };
  const services = many(300, family);

  it('come in from nothing, without one restore refused, and leave nothing but the guard of loopback', async () => {
    const tables = new Tables();
    tables.restore(FOREIGN);
    const engine = start(tables, options);
    await engine.sync(services);
    expect(engine.refused).toEqual([]);
    expect(await engine.reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
    const { removed, left } = await removeAll(backendOver(tables, options), signal);
    expect(removed.length).toBeGreaterThan(300 * 3);
    expect(left).toEqual([]);
    const expected = new Tables();
    expected.restore(family === 'IPv4' ? FOREIGN + LEFT : FOREIGN);
    expect(tables.save()).toBe(expected.save());
  });

  it('come in over the remains of a predecessor with each rule written once', async () => {
    const tables = new Tables();
    tables.restore('*mangle\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n');
    await start(tables, { ...options, groupSize: 1_000_000 }).sync(services);
    const rules = tables.restores.join('').match(/^-A /gm)?.length;
    const fresh = new Tables();
    await start(fresh, { ...options, groupSize: 1_000_000 }).sync(services);
    expect(parse(tables.save())).toEqual(parse(fresh.save()));
    const inKernel = [...parse(fresh.save()).values()].map((object) =>
      object.kind === 'chain' ? object.rules.length : 0,
    );
    expect(rules).toBe(inKernel.reduce((sum, count) => sum + count, 0));
  });

  it('are adopted by a restarted program without a write', async () => {
    const tables = new Tables();
    await start(tables, options).sync(services);
    tables.restores.length = 0;
    await start(tables, options).sync([...services].reverse());
    expect(tables.restores).toEqual([]);
  });
});

describe('cleaning up', () => {
  it("leaves the chain that somebody else's rules lead to, and everything of theirs", async () => {
    const tables = new Tables();
    const engine = start(tables);
    await engine.sync(many(5, 'IPv4'));
    tables.restore('*nat\n:KUBE-HP-X - [0:0]\n-A KUBE-HP-X -s 10.1.1.1/32 -j KUBE-MARK-MASQ\nCOMMIT\n');
    expect(await engine.reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
    const { left } = await removeAll(backendOver(tables), signal);
    expect(left.map(({ id }) => id)).toEqual(['nat KUBE-MARK-MASQ']);
    expect(tables.save()).toContain('-A KUBE-HP-X -s 10.1.1.1/32 -j KUBE-MARK-MASQ');
  });
});

describe('whatever happens', () => {
  const draft: fc.Arbitrary<ServiceDraft> = fc.record({
    protocol: fc.constantFrom('TCP', 'UDP'),
    endpoints: fc.constantFrom('none', 'here', 'elsewhere'),
    isExternal: fc.boolean(),
    isLocal: fc.boolean(),
    hasNodePort: fc.boolean(),
    ranges: fc.constantFrom('open', 'closed'),
  });
  const event = fc.record({
    n: fc.nat({ max: 60 }),
    many: fc.boolean(),
    draft: fc.option(draft, { nil: undefined, freq: 3 }),
    trouble: fc.constantFrom('none', 'none', 'a failure', 'a restart', 'a vandal'),
  });

  it.each(FAMILIES)('%s: the tables end as a fresh start would leave them, and others keep theirs', async (family) => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 25 }), fc.constantFrom(30, 4_000), async (events, maxRules) => {
        const tables = new Tables();
        tables.restore(FOREIGN);
        let engine = start(tables, { family, maxRules });
        const last = new Map<number, ServiceEndpoints>();
        for (const { n, many: isMany, draft: wanted, trouble } of events) {
          const { services, gone } = change(last, isMany ? 30 : 1, n, wanted, family);
          const mend = trouble === 'a failure' ? failFromSecondRestore(tables) : undefined;
          const synced = engine.sync(services, gone);
          await (mend === undefined ? synced : synced.catch(() => undefined));
          mend?.();
          if (trouble === 'a vandal') vandalise(tables);
          if (trouble === 'a restart') {
            engine = start(tables, { family, maxRules });
            await engine.sync([...last.values()]);
          }
          expect(engine.refused).toEqual([]);
        }
        await engine.sync([]);
        await engine.reconciler.audit();
        const fresh = new Tables();
        await start(fresh, { family }).sync([...last.values()]);
        expect(contents(tables)).toEqual(contents(fresh));
        for (const line of foreignLines) expect(tables.save()).toContain(line);
      }),
      { numRuns: 25 },
    );
  });
});

/** Makes the Services from `n` on what is wanted; undefined = they are gone. */
const change = (
  last: Map<number, ServiceEndpoints>,
  count: number,
  n: number,
  wanted: ServiceDraft | undefined,
  family: IPFamily,
): { readonly services: readonly ServiceEndpoints[]; readonly gone: readonly string[] } => {
  const numbers = Array.from({ length: count }, (_, i) => n + i);
  const before = numbers.flatMap((number) => last.get(number) ?? []);
  for (const number of numbers) {
    if (wanted === undefined) last.delete(number);
    else last.set(number, serviceOf(wanted, number, family));
  }
  const services = numbers.flatMap((number) => last.get(number) ?? []);
  // a Service that takes another protocol is another owner
  const stay = new Set(services.map(({ port }) => ownerOf(port.name)));
  return { services, gone: before.map(({ port }) => ownerOf(port.name)).filter((owner) => !stay.has(owner)) };
};

const contents = (tables: Tables): readonly string[] =>
  [...parse(tables.save()).values()].map(({ id, content }) => `${id}\n${content}`).sort();

/** All restores but the next one find the lock taken, until it is mended. */
const failFromSecondRestore = (tables: Tables): (() => void) => {
  const restore = tables.restore.bind(tables);
  let count = 0;
  tables.restore = (text) => {
    count += 1;
    if (count >= 2) throw new KernelError('environment', 'the lock is taken');
    restore(text);
  };
  return () => {
    tables.restore = restore;
  };
};

/** Empties a chain of a Service and deletes a jump. */
const vandalise = (tables: Tables): void => {
  const nat = tables.save().split('*nat')[1] ?? '';
  const chain = /^:(KUBE-S(?:VC|EP)-\S+)/m.exec(nat)?.[1];
  if (chain !== undefined) tables.restore(`*nat\n:${chain} - [0:0]\nCOMMIT\n`);
  const jump = /^-A (OUTPUT .*-j KUBE-SERVICES)$/m.exec(nat)?.[1];
  if (jump !== undefined) tables.restore(`*nat\n-D ${jump}\nCOMMIT\n`);
};
