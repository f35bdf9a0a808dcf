/** Slices of the Service ns/web, and what is made of them. */
import type { IPFamily } from '../../src/model/address.ts';
import { type Endpoint, mergeSlices, readSlice } from '../../src/model/endpoint.ts';
import type { Protocol } from '../../src/model/kubernetes.ts';
import { type Fields, sliceObject } from './objects.ts';

export interface Wanted {
  readonly name?: string;
  readonly protocol?: Protocol;
  readonly family?: IPFamily;
  readonly nodeName?: string;
}

export const merge = (objects: readonly Fields[], wanted: Wanted = {}): readonly Endpoint[] => {
  const { name = 'p', protocol = 'TCP', family = 'IPv4', nodeName = 'node1' } = wanted;
  return mergeSlices(
    objects.flatMap((object) => readSlice(object) ?? []),
    { name, protocol, family },
    nodeName,
  );
};

export const addresses = (objects: readonly Fields[], wanted: Wanted = {}): readonly string[] =>
  merge(objects, wanted).map(({ ip, port }) => `${ip} ${port}`);

export const slice = (suffix: string, ips: readonly string[], fields: Fields = {}): Fields =>
  sliceObject(`ns/web-${suffix}`, ips, fields);

/** A slice with one endpoint, described by the given fields. */
export const one = (fields: Fields, suffix = '1'): Fields =>
  slice(suffix, [], { endpoints: [{ addresses: ['10.200.0.11'], ...fields }] });

export const conditions = (ready?: boolean | null, serving?: boolean | null, terminating?: boolean | null): Fields => ({
  conditions: { ready, serving, terminating },
});
