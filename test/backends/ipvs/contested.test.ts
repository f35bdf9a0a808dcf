/** Two Services want one address and port: the older one has all of it, and nothing of the other's is mixed in. */
import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { newKernel, nodeOf, start, tcp, withLocal } from './world.ts';

const OLD = ['10.200.0.1', '10.200.1.1'];
const YOUNG = ['10.200.0.2', '10.200.1.2'];

const old = (port: Partial<ServicePort>, clusterIP = '10.96.0.1'): ServiceEndpoints =>
  withLocal(tcp('old', clusterIP, OLD, { ...port, createdAt: 1 }), OLD.slice(0, 1));
const young = (port: Partial<ServicePort>): ServiceEndpoints =>
  withLocal(tcp('young', '10.96.0.2', YOUNG, { ...port, createdAt: 2 }), YOUNG.slice(0, 1));

const VIP = '192.0.2.7';
const ranges = { loadBalancerVIPs: [VIP], sourceRanges: [] };
const CONTESTS: readonly (readonly [string, ServiceEndpoints, ServiceEndpoints, string])[] = [
  ['an external IP', old({ externalIPs: [VIP] }), young({ externalIPs: [VIP] }), `${VIP} tcp 80`],
  [
    'one that the younger has under policy Local',
    old({ externalIPs: [VIP] }),
    young({ externalIPs: [VIP], externalPolicyLocal: true }),
    `${VIP} tcp 80`,
  ],
  [
    'one that the older has under policy Local',
    old({ externalIPs: [VIP], externalPolicyLocal: true }),
    young({ externalIPs: [VIP] }),
    `${VIP} tcp 80`,
  ],
  ['one that is the younger’s balancer, with ranges', old({ externalIPs: [VIP] }), young(ranges), `${VIP} tcp 80`],
  [
    'a ClusterIP that is the younger’s external IP under policy Local',
    old({}, VIP),
    young({ externalIPs: [VIP], externalPolicyLocal: true }),
    `${VIP} tcp 80`,
  ],
  [
    'a NodePort',
    old({ nodePort: 30_001 }),
    young({ nodePort: 30_001, externalPolicyLocal: true }),
    '10.250.0.1 tcp 30001',
  ],
];

/** What a contested address has: its server, its real servers, its entries, and the servers of the marks that lead on. */
const about = (listing: readonly string[], address: string): readonly string[] => {
  const [ip = '', , port = ''] = address.split(' ');
  const own = listing.filter(
    (line) =>
      line.includes(`-t ${ip}:${port} `) ||
      (line.startsWith('add ') && line.includes(`"address":"${ip}"`) && line.includes(`"port":${port},`)),
  );
  const marks = own.flatMap((line) => /POLICY-MARK .*"value":(\d+)/.exec(line)?.[1] ?? []);
  const found = [...own, ...listing.filter((line) => marks.some((mark) => line.includes(` -f ${mark} `)))];
  // which number a mark has depends on what was there before
  return found.map((line) => line.replace(/"value":\d+/, '"value":#').replace(/ -f \d+ /, ' -f # '));
};

// a second address, so that a NodePort is not contested as a whole
const NODE = nodeOf('IPv4', { localAddresses: new Set(['10.250.0.1', '10.250.0.77']) });

const listingOf = async (...rounds: readonly (readonly ServiceEndpoints[])[]): Promise<readonly string[]> => {
  const kernel = newKernel();
  kernel.links.addAddress('eth0', '10.250.0.77', 24);
  const life = start(kernel, 'IPv4', undefined, NODE);
  for (const services of rounds) await life.sync(services);
  expect(await life.reconciler.audit()).toEqual({ missing: [], changed: [], foreign: [] });
  return kernel.listing();
};

describe.each(CONTESTS)('%s', (_, older, younger, address) => {
  it('is the older one’s alone, whichever came first', async () => {
    const alone = about(await listingOf([older]), address);
    expect(alone.length).toBeGreaterThan(2);
    expect(about(await listingOf([older, younger]), address)).toEqual(alone);
    expect(about(await listingOf([younger], [older]), address)).toEqual(alone);
    expect(about(await listingOf([younger, older], [younger]), address)).toEqual(alone);
  });

  it('is the younger one’s as a whole when the older one goes, and the status tells', async () => {
    const kernel = newKernel();
    kernel.links.addAddress('eth0', '10.250.0.77', 24);
    const life = start(kernel, 'IPv4', undefined, NODE);
    await life.sync([younger, older]);
    expect(life.reconciler.status('ns/young:p/TCP')).toMatchObject({
      state: 'Shadowed',
      message: expect.stringContaining('belongs to ns/old:p/TCP'),
    });
    expect(life.reconciler.status('ns/old:p/TCP').state).toBe('Done');
    await life.sync([], ['ns/old:p/TCP']);
    expect(life.reconciler.status('ns/young:p/TCP').state).toBe('Done');
    expect(kernel.listing()).toEqual(await listingOf([younger]));
  });
});

describe('an address of the node goes before a NodePort', () => {
  const PLACE = '10.250.0.1 tcp 30001';
  const address = { externalIPs: ['10.250.0.1'], port: 30_001 };
  const nodePort = { nodePort: 30_001, externalPolicyLocal: true };

  it.each([
    ['the older one’s', old(address), young(nodePort)],
    ['the younger one’s', young(address), old(nodePort)],
    ['the younger one’s under policy Local', young({ ...address, externalPolicyLocal: true }), old(nodePort)],
  ])('%s, whichever came first, and until it goes', async (_, one, other) => {
    const alone = about(await listingOf([one]), PLACE);
    expect(alone.length).toBeGreaterThan(2);
    expect(about(await listingOf([one, other]), PLACE)).toEqual(alone);
    expect(about(await listingOf([one], [other]), PLACE)).toEqual(alone);
    expect(about(await listingOf([other], [one]), PLACE)).toEqual(alone);

    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([one, other]);
    for (const { port } of [one, other]) {
      expect(life.reconciler.status(`ns/${port.name.name}:p/TCP`).state).toBe('Done');
    }
    await life.sync([], [`ns/${one.port.name.name}:p/TCP`]);
    const fresh = newKernel();
    await start(fresh).sync([other]);
    expect(about(kernel.listing(), PLACE)).toEqual(about(fresh.listing(), PLACE));
  });

  it('unless it has no endpoint at all', async () => {
    const empty = { ...young(address), cluster: [], local: [], reachable: [], serving: [], hasAny: false };
    const alone = about(await listingOf([old(nodePort)]), PLACE);
    expect(about(await listingOf([old(nodePort), empty]), PLACE)).toEqual(alone);
    expect(about(await listingOf([old(nodePort), young(address)], [empty]), PLACE)).toEqual(alone);
  });
});
