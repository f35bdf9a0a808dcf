/** ServiceCIDRs (networking.k8s.io/v1, KEP-1880): the networks of ClusterIPs. */

import { type Cidr, type IPFamily, parseCIDR } from './address.ts';
import { excerpt } from './excerpt.ts';
import { Malformed, readArray, readMeta } from './kubernetes.ts';
import { compareText } from './order.ts';

/** Reads a ServiceCIDR object. Throws Malformed naming the field. */
export const readServiceCIDR = (raw: unknown): readonly Cidr[] => {
  readMeta(raw, 'ServiceCIDR');
  const { spec } = raw as { readonly spec?: { readonly cidrs?: unknown } | null };
  return readArray(spec?.cidrs, 'spec.cidrs').map((text, i) => {
    const cidr = typeof text === 'string' ? parseCIDR(text) : undefined;
    if (cidr === undefined) throw new Malformed(`spec.cidrs[${i}] must be a network, not ${excerpt(text)}`);
    return cidr;
  });
};

/** Networks of one family, each once, sorted: several objects may name one network. */
export const networksOf = (objects: Iterable<readonly Cidr[]>, family: IPFamily): readonly Cidr[] => {
  const ours = [...objects].flat().filter((cidr) => cidr.family === family);
  const byText = new Map(ours.map((cidr) => [cidr.text, cidr]));
  return [...byText.values()].sort((a, b) => compareText(a.text, b.text));
};
