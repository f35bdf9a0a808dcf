/** NodePorts on loopback: what they take, where packets go, and that the kubelet's part stays the kubelet's. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../../src/backends/iptables/index.ts';
import { IptablesListing } from '../../../src/backends/iptables/listing.ts';
import { GUARDS, ROUTE_LOCALNET } from '../../../src/backends/iptables/localhost.ts';
import type { DesiredIptablesObject } from '../../../src/backends/iptables/objects.ts';
import { LoopbackSettings } from '../../../src/backends/iptables/settings.ts';
import { formatRule } from '../../../src/backends/xtables/objects.ts';
import { sysctl } from '../../../src/backends/xtables/sysctl.ts';
import { compileAll } from '../../../src/dataplane/report.ts';
import type { Sysctls } from '../../../src/kernel/sysctl.ts';
import { OBJECT_KINDS } from '../../../src/model/kubernetes.ts';
import { Tracker } from '../../../src/model/tracker.ts';
import { Cluster, Program } from '../../cases/program.ts';
import { destinationOf, NODE_OBJECT, objectsOf, type Variant } from '../../conformance/world.ts';
import { makeScripts, print, type Scripts } from '../../host/scripts.ts';
import { NODE_OPTIONS } from '../../model/objects.ts';
import { backendOver, Tables } from './tables.ts';
import { Walker } from './walker.ts';

const { signal } = new AbortController();
const LOCAL = { IPv4: ['10.250.0.1', '10.250.1.1'], IPv6: ['fd50::1'] } as const;
const GUARD =
  '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" ' +
  '-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP';

const variantOf = (family: 'IPv4' | 'IPv6'): Variant => ({ family, protocol: 'TCP', number: 1 });
const PORT = destinationOf('node-port', variantOf('IPv4')).port;

interface Asked {
  readonly family?: 'IPv4' | 'IPv6';
  readonly localhost: boolean;
  readonly addresses?: readonly string[];
}

/** A NodePort Service with one endpoint here and one elsewhere, as it is on such a node. */
const objectsFor = ({ family = 'IPv4', localhost, addresses = [] }: Asked): readonly DesiredIptablesObject[] => {
  const node = { ...NODE_OPTIONS, localhostNodePorts: localhost, nodePortAddresses: addresses };
  const tracker = new Tracker({ node, interfaceAddresses: () => LOCAL[family] });
  const service = { nodePort: true, endpoints: [{ on: 'pod1' }, { on: 'remote1' }] } as const;
  const all = [NODE_OBJECT, ...objectsOf('web', service, variantOf(family))];
  for (const kind of OBJECT_KINDS) {
    tracker.replace(
      kind,
      all.filter((object) => object.kind === kind),
    );
  }
  const { sections } = compileAll(iptablesBackend({ family }), tracker.take(family));
  return sections.flatMap(({ objects }) => objects);
};

const packet = (source: string, destination: string, inInterface?: string) =>
  ({ source, destination, protocol: 'tcp', port: PORT, inInterface }) as const;

const BOTH = ['10.200.0.11:8080 +m', '10.200.1.21:8080 +m'];
const BOTH_V6 = ['[fd20:0:0:1::11]:8080 +m', '[fd20:0:0:2::21]:8080 +m'];

describe('a packet of the node to a NodePort', () => {
  it.each([
    ['127.0.0.1', { localhost: true }, BOTH],
    ['127.0.0.1', { localhost: false }, [`127.0.0.1:${PORT}`]],
    ['127.0.0.1', { localhost: true, addresses: ['10.250.0.0/24', '127.0.0.0/8'] }, BOTH],
    ['127.0.0.1', { localhost: true, addresses: ['10.250.0.0/24', '127.0.0.1/32'] }, BOTH],
    ['127.0.0.1', { localhost: true, addresses: ['10.250.0.0/24'] }, [`127.0.0.1:${PORT}`]],
    ['127.0.0.1', { localhost: true, addresses: ['fd50::/64'] }, BOTH],
    ['127.0.0.1', { localhost: false, addresses: ['10.250.0.0/24', '127.0.0.1/32'] }, [`127.0.0.1:${PORT}`]],
    ['10.250.0.1', { localhost: true }, BOTH],
    ['10.250.0.1', { localhost: true, addresses: ['10.250.0.0/24', '127.0.0.0/8'] }, BOTH],
    ['::1', { family: 'IPv6', localhost: true }, [`[::1]:${PORT}`]],
    ['::1', { family: 'IPv6', localhost: true, addresses: ['::1/128'] }, [`[::1]:${PORT}`]],
    ['::1', { family: 'IPv6', localhost: false }, [`[::1]:${PORT}`]],
    ['fd50::1', { family: 'IPv6', localhost: true }, BOTH_V6],
  ] as const)('at %s with %j', (to, asked: Asked, expected) => {
    const walker = new Walker(objectsFor(asked), LOCAL[asked.family ?? 'IPv4']);
    expect(walker.walk(packet(to, to)).outcomes).toEqual(expected);
  });
});

describe('a packet from outside to loopback', () => {
  const outside = (asked: Asked) =>
    new Walker(objectsFor(asked), LOCAL.IPv4).walk({ ...packet('10.250.0.9', '127.0.0.1', 'eth0'), port: 10_249 });

  it('is dropped by the guard where the kernel would route it', () => {
    expect(outside({ localhost: true }).outcomes).toEqual(['drop']);
  });

  it('is dropped by the kernel where the option is off', () => {
    expect(outside({ localhost: false }).outcomes).toEqual(['martian']);
  });

  it('reaches the endpoints of a NodePort, which it could ask at any other address', () => {
    const walker = new Walker(objectsFor({ localhost: true }), LOCAL.IPv4);
    expect(walker.walk(packet('10.250.0.9', '127.0.0.1', 'eth0')).outcomes).toEqual(BOTH);
  });
});

describe('neither guard nor kernel setting', () => {
  it.each([
    { localhost: false },
    { localhost: true, addresses: ['10.250.0.0/24'] },
    { localhost: true, addresses: ['primary'] },
    { family: 'IPv6', localhost: true },
  ] as const)('with %j', (asked) => {
    const ids = objectsFor(asked).map(({ id }) => id);
    expect(ids.filter((id) => / KUBE-FIREWALL|sysctl/.test(id))).toEqual([]);
  });
});

it('the guard is word for word what the kubelet and kube-proxy write', () => {
  expect(GUARDS.map(formatRule)).toEqual([
    ':KUBE-FIREWALL - [0:0]',
    GUARD,
    '-A INPUT -j KUBE-FIREWALL',
    '-A OUTPUT -j KUBE-FIREWALL',
  ]);
});

describe('what is read of the shared chain', () => {
  const idsIn = (family: 'IPv4' | 'IPv6', ...lines: readonly string[]): readonly string[] => {
    const listing = new IptablesListing(family);
    for (const line of ['*filter', ':INPUT ACCEPT [0:0]', ...lines, 'COMMIT']) listing.push(line);
    return [...listing.objects()].map(({ id }) => id);
  };
  const ALL = [':KUBE-FIREWALL - [3:180]', '-A INPUT -j KUBE-FIREWALL', '-A OUTPUT -j KUBE-FIREWALL', GUARD];

  it('are the parts that are there', () => {
    expect([...idsIn('IPv4', ...ALL)].sort()).toEqual(GUARDS.map(({ id }) => id).sort());
    expect(idsIn('IPv4', ...ALL.slice(0, 2))).toEqual(['filter KUBE-FIREWALL', 'filter INPUT -> KUBE-FIREWALL']);
  });

  it('whatever their comments and counters', () => {
    const bare = GUARD.replace(/-m comment --comment "[^"]*" /, '');
    expect(idsIn('IPv4', `[1:60] ${bare}`, '-A INPUT -m comment --comment theirs -j KUBE-FIREWALL')).toEqual([
      'filter KUBE-FIREWALL -> DROP',
      'filter INPUT -> KUBE-FIREWALL',
    ]);
  });

  it('and nothing else of it', () => {
    const others = [
      '-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP',
      '-A INPUT -i eth0 -j KUBE-FIREWALL',
      '-A FORWARD -j KUBE-FIREWALL',
    ];
    expect(idsIn('IPv4', ...others)).toEqual([]);
  });

  it('nothing in IPv6, and nothing of another table', () => {
    expect(idsIn('IPv6', ...ALL)).toEqual([]);
    expect(idsIn('IPv4', 'COMMIT', '*nat', ...ALL)).toEqual([]);
  });
});

describe('the engine', () => {
  const KUBELET = `*filter
:KUBE-FIREWALL - [0:0]
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A INPUT -j KUBE-FIREWALL
COMMIT
`;
  const options = { ...NODE_OPTIONS, localhostNodePorts: true };
  const programOver = (tables: Tables) =>
    new Program(
      options,
      { IPv4: backendOver(tables, { family: 'IPv4' }), IPv6: backendOver(new Tables(), { family: 'IPv6' }) },
      new Cluster(),
    );

  it('adds to the kubelet’s chain what is missing, and writes nothing at the next start', async () => {
    const tables = new Tables();
    tables.restore(KUBELET);
    await programOver(tables).sync();
    const saved = tables.save();
    expect(saved).toContain(`${GUARD}\n-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\n`);
    expect(saved.match(/-A INPUT -j KUBE-FIREWALL/g)).toHaveLength(1);
    expect(tables.settings.get(ROUTE_LOCALNET)).toBe('1');
    tables.restores.length = 0;
    await programOver(tables).sync();
    expect(tables.restores).toEqual([]);
    expect(tables.save()).toBe(saved);
  });

  it('reads again when the kubelet made the chain in between, and empties nothing of it', async () => {
    const tables = new Tables();
    const restore = tables.restore.bind(tables);
    let isFirst = true;
    tables.restore = (text) => {
      if (isFirst) restore(KUBELET);
      isFirst = false;
      restore(text);
    };
    await programOver(tables).sync();
    expect(tables.save()).toContain('-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\n');
    expect(tables.save()).toContain(GUARD);
  });

  it('puts back what others delete, the setting too', async () => {
    const tables = new Tables();
    const program = programOver(tables);
    await program.sync();
    tables.settings.clear();
    tables.restore('*filter\n-D INPUT -j KUBE-FIREWALL\nCOMMIT\n');
    expect(await program.reconcilers.IPv4.audit()).toMatchObject({
      missing: ['filter INPUT -> KUBE-FIREWALL', `sysctl ${ROUTE_LOCALNET}`],
    });
    expect(tables.save()).toContain('-A INPUT -j KUBE-FIREWALL\n');
    expect(tables.settings.get(ROUTE_LOCALNET)).toBe('1');
  });

  it('writes the setting after the guard', () => {
    const backend = iptablesBackend({ family: 'IPv4' });
    const changes = objectsFor({ localhost: true }).map((object) => ({ op: 'add', object }) as const);
    const batches = [...backend.plan(changes)].filter((batch) => batch !== undefined);
    expect(batches.at(-1)?.payload).toEqual({ settings: [sysctl(ROUTE_LOCALNET, 1)] });
    expect(batches.slice(0, -1).flatMap(({ ids }) => ids)).toContain('filter KUBE-FIREWALL -> DROP');
  });
});

describe('the kernel setting', () => {
  const files = (values: Map<string, string>, refusal?: string): Sysctls => ({
    read: async (path) => values.get(path),
    write: async (path, value) => {
      if (refusal !== undefined) throw new Error(refusal);
      values.set(path, value);
    },
  });

  it.each([
    ['1', ['1']],
    ['0', []],
    [undefined, []],
  ])('that is %s is read as %j', async (value, expected) => {
    const values = new Map(value === undefined ? [] : [[ROUTE_LOCALNET, value]]);
    const found = await new LoopbackSettings(files(values), expect.unreachable).read();
    expect(found.map(({ content }) => content)).toEqual(expected);
  });

  it('that is refused is told once, and not wanted again', async () => {
    const said: string[] = [];
    const settings = new LoopbackSettings(
      files(new Map([[ROUTE_LOCALNET, '0']]), 'EROFS: read-only file system'),
      (text) => said.push(text),
    );
    await settings.write([sysctl(ROUTE_LOCALNET, 1)]);
    expect(said).toEqual([
      'NodePorts do not answer on 127.0.0.1: kernel setting net.ipv4.conf.all.route_localnet = 1: ' +
        'EROFS: read-only file system; --iptables-localhost-nodeports=false goes without',
    ]);
    expect(await settings.read()).toEqual([sysctl(ROUTE_LOCALNET, 1)]);
  });
});

describe('the driver', () => {
  let scripts: Scripts;
  beforeAll(async () => {
    scripts = await makeScripts();
  });
  afterAll(() => scripts.remove());

  it('reads rules and setting together, writes each where it belongs, and in IPv6 knows no setting', async () => {
    await scripts.add('tool-save', print(`*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n${GUARD}\nCOMMIT`));
    await scripts.add('tool-restore', `cat >'${scripts.path('seen')}'`);
    const values = new Map([[ROUTE_LOCALNET, '0']]);
    const sysctls: Sysctls = {
      read: async (path) => values.get(path),
      write: async (path, value) => void values.set(path, value),
    };
    const tools = { variant: 'nft', IPv4: scripts.path('tool'), IPv6: scripts.path('tool') } as const;
    const backend = iptablesBackend({ family: 'IPv4', tools, sysctls });
    const before = ['filter KUBE-FIREWALL', 'filter KUBE-FIREWALL -> DROP'];
    expect([...(await backend.read(signal)).keys()]).toEqual(before);
    for (const batch of backend.plan([...GUARDS, sysctl(ROUTE_LOCALNET, 1)].map((object) => ({ op: 'add', object })))) {
      if (batch !== undefined) await backend.apply(batch, signal);
    }
    expect(await readFile(scripts.path('seen'), 'utf8')).toBe(
      `*filter\n-N KUBE-FIREWALL\n-I ${GUARD.slice(3)}\n-I INPUT -j KUBE-FIREWALL\n-I OUTPUT -j KUBE-FIREWALL\nCOMMIT\n`,
    );
    expect([...(await backend.read(signal)).keys()]).toEqual([...before, `sysctl ${ROUTE_LOCALNET}`]);
    expect((await iptablesBackend({ family: 'IPv6', tools, sysctls }).read(signal)).size).toBe(0);
  });

  it('prints the setting as a comment, lest the tool stumble over it', () => {
    const [part] = iptablesBackend({ family: 'IPv4' }).print([
      { title: 'base', objects: objectsFor({ localhost: true }) },
    ]);
    expect(part?.text).toMatch(/^# kernel setting: net\.ipv4\.conf\.all\.route_localnet = 1\n\*filter\n/);
    expect(part?.text).toContain(`\n:KUBE-FIREWALL - [0:0]\n`);
  });
});
