/** The order in which changes go to the kernel: whatever is named is there, and nothing is taken away that is still named. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipvsBackend } from '../../../src/backends/ipvs/index.ts';
import { setDefinition } from '../../../src/backends/ipvs/names.ts';
import type { DesiredIpvsObject, IpvsObject } from '../../../src/backends/ipvs/objects.ts';
import { entry, realServer, serviceFlag, virtualServer } from '../../../src/backends/ipvs/objects.ts';
import { type IpvsPayload, plan as planning } from '../../../src/backends/ipvs/plan.ts';
import { SaveParser } from '../../../src/backends/xtables/parse.ts';
import type { Batch, Change } from '../../../src/dataplane/contract.ts';
import { diff } from '../../../src/dataplane/desired.ts';
import { compileAll } from '../../../src/dataplane/report.ts';
import { MASQUERADE, PLAIN } from '../../../src/ipvs-netlink/ipvs.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import { MemoryIptables } from '../../cases/memory-iptables.ts';
import { input } from '../../dataplane/fake-backend.ts';
import { type ServiceDraft, serviceOf } from '../iptables/services.ts';
import { SETTINGS } from './memory-kernel.ts';
import { FAMILIES, nodeOf } from './world.ts';

type Objects = ReadonlyMap<string, DesiredIpvsObject>;

const plan = (changes: readonly Change<DesiredIpvsObject>[]): readonly Batch<IpvsPayload>[] =>
  [...planning(changes)].filter((batch) => batch !== undefined);

/** Strict: each object names others by their ids, and has to find them; who is named cannot go. */
class Model {
  readonly objects = new Map<string, DesiredIpvsObject>();
  readonly iptables = new MemoryIptables();

  apply({ payload }: Batch<IpvsPayload>): void {
    if (payload.by === 'iptables') this.#restore(payload.input.text);
    else for (const change of payload.changes) this.#change(change);
  }

  /** All of it, rules too. */
  content(): readonly string[] {
    const parser = new SaveParser();
    for (const line of this.iptables.save().split('\n')) parser.push(line);
    return contentOf([...this.objects.values(), ...parser.objects.values()]);
  }

  #restore(text: string): void {
    for (const name of setsIn(text)) this.#demand(`set ${name}`, 'a rule');
    this.iptables.restore(text);
  }

  #change({ op, object }: Change<IpvsObject>): void {
    if (op === 'remove') {
      if (!this.objects.delete(object.id)) throw new Error(`${object.id} is not there`);
      for (const other of this.objects.values()) {
        if (needs(other).includes(object.id)) throw new Error(`${other.id} still needs ${object.id}`);
      }
      const name = object.kind === 'set' ? object.definition.name : undefined;
      if (name !== undefined && setsIn(this.iptables.save()).includes(name)) throw new Error(`a rule needs ${name}`);
      return;
    }
    for (const id of needs(object)) this.#demand(id, object.id);
    this.objects.set(object.id, object);
  }

  #demand(id: string, who: string): void {
    if (!this.objects.has(id)) throw new Error(`${who} needs ${id}`);
  }
}

const needs = (object: DesiredIpvsObject): readonly string[] => {
  if (object.kind === 'entry') return [`set ${object.set.name}`];
  if (object.kind === 'address') return ['link kube-ipvs0'];
  if (object.kind === 'real-server') return [`service ${serviceFlag(object.service)}`];
  return [];
};

const setsIn = (text: string): readonly string[] =>
  [...text.matchAll(/--(?:match|map)-set (\S+)/g)].flatMap(([, name]) => name ?? []);

const contentOf = (objects: readonly DesiredIpvsObject[]): readonly string[] =>
  objects.map(({ id, content }) => `${id}: ${content}`).sort();

const drafts: fc.Arbitrary<ServiceDraft> = fc.record({
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
  endpoints: fc.constantFrom('none', 'here', 'elsewhere'),
  isExternal: fc.boolean(),
  isLocal: fc.boolean(),
  hasNodePort: fc.boolean(),
  ranges: fc.constantFrom('open', 'closed'),
});

/** What is wanted of a few Services; undefined = nothing at all, as before the start and after a clean-up. */
const wanted = (family: IPFamily, list: readonly (ServiceDraft | undefined)[] | undefined): Objects => {
  if (list === undefined) return new Map();
  const services = list.flatMap((draft, n) => (draft === undefined ? [] : serviceOf(draft, n, family)));
  const backend = ipvsBackend({ family, settings: SETTINGS });
  const { sections } = compileAll(backend, input(services, [], nodeOf(family)));
  return new Map(sections.flatMap(({ objects }) => objects).map((object) => [object.id, object]));
};

const lists = fc.option(fc.array(fc.option(drafts, { nil: undefined }), { maxLength: 5 }), { nil: undefined });

describe('a plan', () => {
  it.each(FAMILIES)('leads from any state to any other, and names nothing that is not there: %s', (family) => {
    fc.assert(
      fc.property(lists, lists, (before, after) => {
        const [from, to] = [wanted(family, before), wanted(family, after)];
        const model = new Model();
        for (const batch of plan(diff(new Map(), from))) model.apply(batch);
        expect(model.content()).toEqual(contentOf([...from.values()]));
        for (const batch of plan(diff(from, to))) model.apply(batch);
        const staying = [...from.values()].filter(({ id, stays }) => stays === true && !to.has(id));
        expect(model.content()).toEqual(contentOf([...to.values(), ...staying]));
      }),
      { numRuns: 60 },
    );
  });

  it('writes settings, link and sets, then rules, then entries, addresses, servers; and takes away in the opposite order', () => {
    const draft = {
      protocol: 'TCP',
      endpoints: 'here',
      isExternal: true,
      isLocal: true,
      hasNodePort: true,
      ranges: 'open',
    } as const;
    const all = wanted('IPv4', [draft]);
    expect(stepsOf(plan(diff(new Map(), all)))).toEqual([
      'write sysctl',
      'write device',
      'write set',
      'iptables',
      'write entry',
      'write address',
      'write virtual-server',
      'write real-server',
    ]);
    expect(stepsOf(plan(diff(all, new Map())))).toEqual([
      'remove real-server',
      'remove virtual-server',
      'remove address',
      'remove entry',
      'iptables',
      'remove set',
      'remove device',
    ]);
  });

  it('takes nothing away before everything new is there', () => {
    const service = (port: number) => ({ protocol: 'TCP', address: '10.96.0.1', port }) as const;
    const old = [
      virtualServer(service(1), PLAIN),
      realServer(service(1), { address: '10.200.0.1', port: 1 }, MASQUERADE),
    ];
    const fresh = [
      virtualServer(service(2), PLAIN),
      entry(setDefinition('IPVS-IPS', 'IPv4'), { address: '10.96.0.1' }),
    ];
    const changes: readonly Change<DesiredIpvsObject>[] = [
      ...old.map((object) => ({ op: 'remove', object }) as const),
      ...fresh.map((object) => ({ op: 'add', object }) as const),
    ];
    expect(stepsOf(plan(changes))).toEqual([
      'write entry',
      'write virtual-server',
      'remove real-server',
      'remove virtual-server',
    ]);
  });

  it('has batches of at most five hundred messages, each with the ids that it changes', () => {
    const set = setDefinition('NODE-PORT-TCP', 'IPv4');
    const changes = Array.from(
      { length: 1_200 },
      (_, n) => ({ op: 'add', object: entry(set, { port: n + 1 }) }) as const,
    );
    const batches = plan(changes);
    expect(batches.map(({ ids }) => ids.length)).toEqual([500, 500, 200]);
    expect(batches.flatMap(({ ids }) => ids)).toEqual(changes.map(({ object }) => object.id));
    const payloads = batches.flatMap(({ payload }) => (payload.by === 'netlink' ? payload.changes : []));
    expect(payloads).toEqual(changes);
    expect(plan([])).toEqual([]);
  });
});

/** Neighbours of a kind count as one step. */
const stepsOf = (batches: readonly Batch<IpvsPayload>[]): readonly string[] => {
  const steps = batches.flatMap(({ payload }) =>
    payload.by === 'iptables'
      ? ['iptables']
      : payload.changes.map(({ op, object }) => `${op === 'remove' ? 'remove' : 'write'} ${object.kind}`),
  );
  return steps.filter((step, i) => step !== steps[i - 1]);
};

it('rules that take the place of another mode’s come when what they lead to is there', () => {
  const { objects } = ipvsBackend({ family: 'IPv4', settings: SETTINGS }).base(nodeOf('IPv4'));
  const web = { protocol: 'TCP', address: '10.96.0.1', port: 80 } as const;
  const changes = [...objects, virtualServer(web, PLAIN)].map(
    (object): Change<DesiredIpvsObject> =>
      object.id === 'nat KUBE-SERVICES'
        ? { op: 'replace', object, previous: { ...object, content: 'of another' } as DesiredIpvsObject }
        : { op: 'add', object },
  );
  const batches = plan(changes);
  const at = (id: string): number => batches.findIndex(({ ids }) => ids.includes(id));
  expect(at('filter KUBE-IPVS-FILTER')).toBeGreaterThan(at('set KUBE-IPVS-IPS'));
  expect(at('service -t 10.96.0.1:80')).toBeGreaterThan(at('filter KUBE-IPVS-FILTER'));
  // while the other mode serves, the node's own calls may have a Service's address as their source
  expect(at('service -t 10.96.0.1:80')).toBeGreaterThan(at('nat OUTPUT -> KUBE-IPVS-OUT'));
  expect(at('nat KUBE-SERVICES')).toBeGreaterThan(at('service -t 10.96.0.1:80'));
});
