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
    'an address of the node and a NodePort under policy Local',
    old({ externalIPs: ['10.250.0.1'], port: 30_001 }),
    young({ nodePort: 30_001, externalPolicyLocal: true }),
    '10.250.0.1 tcp 30001',
  ],
  [
    'a NodePort under policy Local and an address of the node under policy Local',
    old({ nodePort: 30_001, externalPolicyLocal: true }),
    young({ externalIPs: ['10.250.0.1'], port: 30_001, externalPolicyLocal: true }),
    '10.250.0.1 tcp 30001',
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
  const marks = own.flatMap((line) => /"value":(\d+)/.exec(line)?.[1] ?? []);
  return [...own, ...listing.filter((line) => marks.some((mark) => line.includes(` -f ${mark} `)))];
};

// a second address, so that a NodePort is not contested as a whole
const NODE = nodeOf('IPv4', { localAddresses: ['10.250.0.1', '10.250.0.77'] });

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
