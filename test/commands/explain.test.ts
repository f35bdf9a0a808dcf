/** Services of the golden pages, explained at each of their steps; and what has no page. */
import pino from 'pino';
import { describe, expect, it } from 'vitest';
import { type Page as Explained, pageOf, pageText, parseAsked } from '../../src/commands/explain.ts';
import type { Setup } from '../../src/commands/setup.ts';
import { OBJECT_KINDS } from '../../src/model/kubernetes.ts';
import type { Snapshot } from '../../src/sources/snapshot.ts';
import { type KubernetesObject, type Page, readPages } from '../cases/page.ts';
import { loadLine } from '../config/loading.ts';
import { CLUSTER_CIDRS, NODE_OBJECT } from '../conformance/world.ts';

const PAGES = readPages();
const NODE = { ...NODE_OBJECT, kind: 'Node' } as unknown as KubernetesObject;

const page = (name: string): Page => {
  const found = PAGES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no page ${name}`);
  return found;
};

/** What there is after so many steps of a page. */
const objectsAfter = ({ steps }: Page, count: number): Snapshot => {
  const keyOf = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.namespace}/${metadata.name}`;
  const objects = new Map([[keyOf(NODE), NODE]]);
  for (const step of steps.slice(0, count)) {
    for (const object of step.put) objects.set(keyOf(object), object);
    for (const object of step.delete) objects.delete(keyOf(object));
  }
  if (!objects.has('Node undefined/node1')) throw new Error('the node is gone');
  const of = (kind: string): readonly KubernetesObject[] => [...objects.values()].filter((one) => one.kind === kind);
  return Object.fromEntries(OBJECT_KINDS.map((kind) => [kind, of(kind)])) as unknown as Snapshot;
};

const setupFor = async (flags: Page['flags'], mode: string): Promise<Setup> => {
  const all = { 'cluster-cidr': CLUSTER_CIDRS, 'proxy-mode': mode, ...flags };
  const { config } = await loadLine(Object.entries(all).map(([name, value]) => `--${name}=${value}`));
  return { config, warnings: [], flags: [], nodeName: 'node1', log: pino({ level: 'silent' }) };
};

const explained = async (name: string, service: string, steps: number, mode = 'iptables'): Promise<Explained> => {
  const { flags } = page(name);
  return pageOf(await setupFor(flags, mode), parseAsked(service), undefined, objectsAfter(page(name), steps));
};

/** Rules stand on the golden pages. */
const withoutRules = (text: string): string => text.replace(/^ {2}Rules, .*\n( {4}.*\n)*/gm, '');

describe('a page', () => {
  it.each([
    ['topology', ['shop/web']],
    ['terminating', ['shop/web']],
    ['external-policy-local', ['shop/web']],
    ['internal-policy-local', ['shop/web']],
    ['load-balancer', ['shop/web']],
    ['contested-node-port', ['shop/young', 'shop/old']],
    ['not-proxied', ['shop/headless', 'shop/elsewhere', 'shop/odd', 'shop/pending', 'shop/theirs']],
    ['dual-stack', ['shop/web']],
    ['detect-local-none', ['shop/web']],
    ['several-slices', ['shop/web']],
  ])('%s', async (name, services) => {
    const texts: string[] = [];
    for (const [i, { step }] of page(name).steps.entries()) {
      texts.push(`### ${step}\n`);
      for (const service of services) texts.push(withoutRules(pageText(await explained(name, service, i + 1))));
    }
    await expect(texts.join('\n')).toMatchFileSnapshot(`explained/${name}.txt`);
  });

  it.each(['iptables', 'ipvs', 'nftables'])('has all rules of the Service, in mode %s', async (mode) => {
    const text = pageText(await explained('node-port', 'shop/web', 1, mode));
    await expect(text).toMatchFileSnapshot(`explained/node-port.${mode}.txt`);
  });
});

describe('what is asked for', () => {
  it.each([
    ['ns/web', { service: 'ns/web', port: undefined }],
    ['ns/web:http', { service: 'ns/web', port: 'http' }],
    ['ns/web:', { service: 'ns/web', port: '' }],
  ])('%s', (text, asked) => {
    expect(parseAsked(text)).toEqual(asked);
  });

  it.each(['', 'web', 'ns/', '/web', 'a/b/c', 'ns/web http'])('is not %j', (text) => {
    expect(() => parseAsked(text)).toThrow(`"${text}" names no Service: expected namespace/name`);
  });
});

describe('a Service without a page', () => {
  it.each([
    ['shop/wbe', 'there is no such Service; the nearest name is shop/web'],
    ['some/thing-quite-different', 'there is no such Service'],
    ['shop/web:htp', 'it has no port named "htp"; there is: http'],
  ])('%s', async (service, reason) => {
    const { notServed, families } = await explained('node-port', service, 1);
    expect([notServed, families]).toEqual([[reason], []]);
  });

  it('that cannot be read says why', async () => {
    const objects = objectsAfter(page('node-port'), 1);
    const broken = objects.Service.map((object) => {
      const { spec, ...rest } = object as { readonly spec: Readonly<Record<string, unknown>> };
      return { ...rest, spec: { ...spec, ports: [{ port: 0 }] } };
    });
    const setup = await setupFor({}, 'iptables');
    const { notServed } = await pageOf(setup, parseAsked('shop/web'), undefined, { ...objects, Service: broken });
    expect(notServed).toEqual(['it cannot be read: spec.ports[0].port must be a port from 1 to 65535, not 0']);
  });
});

describe('endpoints that are missing', () => {
  const why = async (slices: readonly Record<string, unknown>[]): Promise<string> => {
    const objects = objectsAfter(page('node-port'), 1);
    const setup = await setupFor({}, 'iptables');
    const text = pageText(await pageOf(setup, parseAsked('shop/web'), 'IPv4', { ...objects, EndpointSlice: slices }));
    return /none: .*/.exec(text)?.[0] ?? text;
  };
  const slice = {
    metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.200.0.11'] }],
  };

  it.each([
    ['no slice', [], 'no EndpointSlice of this family with a port belongs to it'],
    ['slices without a port', [slice], 'no EndpointSlice of this family with a port belongs to it'],
    [
      'slices with another port',
      [{ ...slice, ports: [{ name: 'https', port: 8443 }] }],
      'its EndpointSlices have no port http/TCP, but https/TCP',
    ],
    [
      'the port in another protocol',
      [{ ...slice, ports: [{ name: 'http', port: 8080, protocol: 'UDP' }] }],
      'its EndpointSlices have no port http/TCP, but http/UDP',
    ],
    [
      'an empty slice',
      [{ ...slice, endpoints: [], ports: [{ name: 'http', port: 8080 }] }],
      'its EndpointSlices are empty',
    ],
  ])('%s', async (_, slices, text) => {
    expect(await why(slices)).toContain(text);
  });
});
