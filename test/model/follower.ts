/** A tracker, and somebody who takes its work and keeps what it says: what an engine would know. */
import { IP_FAMILIES, type IPFamily, joinHostPort } from '../../src/model/address.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Work } from '../../src/model/family-work.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import { ownerOf } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import { Tracker, type TrackerOptions } from '../../src/model/tracker.ts';
import { type Fields, NODE_OPTIONS, nodeObject } from './objects.ts';

export type Known = ReadonlyMap<string, ServiceEndpoints>;

export interface Follower {
  readonly tracker: Tracker;
  /** Takes one family's work; gives it as it came. */
  take(family?: IPFamily): Work;
  /** Takes the work of both families. */
  takeAll(): void;
  /** Everything known of a family, by owner. */
  known(family?: IPFamily): Known;
}

/** A tracker that has seen a first list of every kind. */
export const follow = (
  objects: Partial<Record<ObjectKind, readonly Fields[]>> = {},
  options: Partial<TrackerOptions> = {},
): Follower => {
  const tracker = new Tracker({ node: NODE_OPTIONS, ...options });
  const known = { IPv4: new Map<string, ServiceEndpoints>(), IPv6: new Map<string, ServiceEndpoints>() };
  const take = (family: IPFamily = 'IPv4'): Work => {
    const work = tracker.take(family);
    for (const owner of work.gone) known[family].delete(owner);
    for (const service of work.services) known[family].set(ownerOf(service.port.name), service);
    return work;
  };
  for (const kind of OBJECT_KINDS) tracker.replace(kind, objects[kind] ?? (kind === 'Node' ? [nodeObject()] : []));
  return {
    tracker,
    take,
    takeAll: () => {
      for (const family of IP_FAMILIES) take(family);
    },
    known: (family = 'IPv4') => known[family],
  };
};

/** Owners and their endpoints in short, sorted: `ns/web:p/TCP: 10.0.0.1:80 10.0.0.2:80`. */
export const shown = (services: Iterable<ServiceEndpoints>): readonly string[] =>
  [...services].map(({ port, reachable }) => `${ownerOf(port.name)}:${reachable.map(address).join('')}`).sort();

const address = ({ ip, port }: Endpoint): string => ` ${joinHostPort(ip, port)}`;

/** What one family has to do, in short: services as shown, then `gone` owners. */
export const work = (follower: Follower, family?: IPFamily): readonly string[] => {
  const { services, gone } = follower.take(family);
  return [...shown(services), ...gone.map((owner) => `gone ${owner}`)];
};
