/** The netlink families against the tools that people use for the same: what one writes the other reads. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { Ipvs, MASQUERADE, newDestination, newService, PLAIN } from '../../src/ipvs-netlink/ipvs.ts';
import type { IpvsService } from '../../src/ipvs-netlink/types.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { deleteFlows, listFlows } from '../../src/netlink/conntrack.ts';
import {
  addEntry,
  createSet,
  deleteEntry,
  destroySet,
  IPSET_ERROR,
  listSets,
  type SetDefinition,
  type SetEntry,
  typeRevision,
} from '../../src/netlink/ipset.ts';
import {
  deleteAddress,
  deleteLink,
  getLink,
  listAddresses,
  listLinks,
  newAddress,
  newDummy,
} from '../../src/netlink/route.ts';
import { openSocket, PROTOCOL } from '../../src/netlink/socket.ts';

const run = (tool: string, ...args: readonly string[]): string => {
  const { stdout, stderr, status } = spawnSync(tool, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')}: ${stderr}`);
  return stdout;
};

const SETS: readonly (readonly [SetDefinition, SetEntry, string])[] = [
  [{ name: 'A', type: 'hash:ip', family: 'IPv6', maxEntries: 9 }, { address: 'fd00::1' }, 'fd00::1'],
  [
    { name: 'B', type: 'hash:ip,port', family: 'IPv4', maxEntries: 65_536, hasMarks: true },
    { address: '10.0.0.1', protocol: 'sctp', port: 80, mark: { value: 0x14001, mask: 0xffffffff } },
    '10.0.0.1,sctp:80 skbmark 0x14001',
  ],
  [
    { name: 'C', type: 'hash:ip,port,ip', family: 'IPv4', maxEntries: 65_536 },
    { address: '10.0.0.1', protocol: 'tcp', port: 80, second: '10.0.0.1' },
    '10.0.0.1,tcp:80,10.0.0.1',
  ],
  [
    { name: 'D', type: 'hash:ip,port,net', family: 'IPv6', maxEntries: 65_536 },
    { address: 'fd00::1', protocol: 'udp', port: 53, second: 'fd20::', prefix: 48 },
    'fd00::1,udp:53,fd20::/48',
  ],
  [{ name: 'E', type: 'bitmap:port', family: 'IPv4', maxEntries: 0 }, { port: 30_080 }, '30080'],
];

describe('ipset', () => {
  const connection = new NetlinkConnection(openSocket(PROTOCOL.NETFILTER));

  it.each(SETS)('$name of type $type', (set, entry, text) => {
    const create = createSet(set, typeRevision(connection, set.type, set.family));
    // twice: what is there is no error
    expect(connection.execute([create, create, addEntry(set, entry), addEntry(set, entry)])).toEqual([]);
    expect(run('ipset', 'save', set.name).replace(/ +/g, ' ')).toContain(`add ${set.name} ${text}\n`);
    const listed = listSets(connection, [set.name, 'NONE']).get(set.name);
    expect(listed?.entries).toEqual([entry]);
    expect(listed?.definition).toEqual({ hasMarks: false, ...set });
    expect(connection.execute([deleteEntry(set, entry), deleteEntry(set, entry)])).toEqual([]);
    expect(run('ipset', 'save', set.name)).not.toContain('add');
    expect(connection.execute([destroySet(set.name)])).toEqual([]);
  });

  it('names the entry that does not fit, and does the others', () => {
    const set: SetDefinition = { name: 'SMALL', type: 'hash:ip', family: 'IPv4', maxEntries: 2 };
    const add = (i: number) => addEntry(set, { address: `10.0.0.${i}` });
    const create = createSet(set, typeRevision(connection, set.type, set.family));
    const failures = connection.execute([create, add(1), add(2), add(3), add(1)]);
    expect(failures.map(({ index, error }) => [index, error.errno])).toEqual([[3, IPSET_ERROR.FULL]]);
    connection.run(destroySet('SMALL'));
  });
});

describe('links and addresses', () => {
  const connection = new NetlinkConnection(openSocket(PROTOCOL.ROUTE));

  it('are what ip shows', () => {
    connection.run(newDummy('d0'));
    expect(connection.execute([newDummy('d0')])[0]?.error.message).toContain('EEXIST');
    const link = getLink(connection, 'd0');
    expect(link).toMatchObject({ name: 'd0', kind: 'dummy', isUp: false });
    expect(listLinks(connection).map(({ name }) => name)).toEqual(expect.arrayContaining(['lo', 'd0']));
    const index = link?.index ?? 0;
    expect(connection.execute(['10.9.0.1', 'fd09::1'].map((ip) => newAddress(index, ip)))).toEqual([]);
    expect(run('ip', '-o', 'address', 'show', 'dev', 'd0')).toMatch(/inet 10\.9\.0\.1\/32.*\n.*inet6 fd09::1\/128/);
    expect(listAddresses(connection, 'IPv6').filter((one) => one.index === index && one.scope === 'global')).toEqual([
      { index, address: 'fd09::1', prefix: 128, scope: 'global' },
    ]);
    const failures = connection.execute([deleteAddress(index, '10.9.0.1'), deleteAddress(index, '10.9.0.2')]);
    expect(failures.map(({ index: at, error }) => [at, error.message])).toEqual([
      [1, expect.stringContaining('EADDRNOTAVAIL')],
    ]);
    connection.run(deleteLink('d0'));
    expect(getLink(connection, 'd0')).toBeUndefined();
  });

  it('many are many messages in few sends', () => {
    connection.run(newDummy('d1'));
    const index = getLink(connection, 'd1')?.index ?? 0;
    const before = connection.sent.sends;
    const requests = Array.from({ length: 3_000 }, (_, i) => newAddress(index, `10.8.${i >> 8}.${i & 255}`));
    expect(connection.execute(requests)).toEqual([]);
    expect(connection.sent.sends - before).toBe(2);
    expect(listAddresses(connection, 'IPv4').filter((one) => one.index === index)).toHaveLength(3_000);
    connection.run(deleteLink('d1'));
  });
});

describe('IPVS', () => {
  it('many fail, and each is known: no answer is lost', () => {
    const ipvs = Ipvs.open();
    const key = (i: number) => ({ protocol: 'TCP', address: '10.7.0.1', port: i + 1 }) as const;
    const pod = { address: '10.244.0.1', port: 80 };
    const keys = Array.from({ length: 1_500 }, (_, i) => key(i));
    expect(ipvs.execute(keys.flatMap((one) => [newService(one, PLAIN), newDestination(one, pod, MASQUERADE)]))).toEqual(
      [],
    );
    const again = ipvs.execute(keys.map((one) => newService(one, PLAIN)));
    expect(again.map(({ index }) => index)).toEqual(keys.map((_, i) => i));
    expect(ipvs.services()).toHaveLength(1_500);
    expect(
      run('ipvsadm', '-Sn')
        .split('\n')
        .filter((line) => line.startsWith('-a')),
    ).toHaveLength(1_500);
    const listed = ipvs.services().find((one: IpvsService) => 'port' in one.key && one.key.port === 7);
    expect(listed).toEqual({ key: key(6), settings: PLAIN });
    run('ipvsadm', '-C');
    ipvs.close();
  });
});

describe('conntrack', () => {
  const connection = new NetlinkConnection(openSocket(PROTOCOL.NETFILTER));
  const flow = (port: number, client: string): void => {
    run(
      'conntrack',
      '-I',
      '-p',
      'udp',
      '-s',
      client,
      '-d',
      '10.96.0.10',
      '--sport',
      '4000',
      '--dport',
      String(port),
      '--timeout',
      '300',
    );
  };

  it('lists what is asked for, and deletes just that', () => {
    for (const port of [53, 54]) for (const client of ['10.1.0.1', '10.1.0.2']) flow(port, client);
    const filter = { family: 'IPv4', protocol: 'udp', destination: '10.96.0.10', destinationPort: 53 } as const;
    const flows = listFlows(connection, filter);
    expect(flows.map(({ original }) => original.source).sort()).toEqual(['10.1.0.1', '10.1.0.2']);
    expect(flows[0]?.reply).toMatchObject({ source: '10.96.0.10', sourcePort: 53, destinationPort: 4000 });
    expect(listFlows(connection, { family: 'IPv4' })).toHaveLength(4);
    expect(listFlows(connection, { family: 'IPv6' })).toHaveLength(0);
    expect(deleteFlows(connection, [...flows, ...flows])).toEqual([]);
    expect(listFlows(connection, { family: 'IPv4' }).map(({ original }) => original.destinationPort)).toEqual([54, 54]);
  });
});
