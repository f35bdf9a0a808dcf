import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import { NoLocalEndpoints } from '../../src/observe/no-local-endpoints.ts';
import { service } from '../dataplane/fake-backend.ts';

interface Facts {
  readonly internal?: boolean;
  readonly external?: boolean;
  readonly nodePort?: number;
  readonly hasAny?: boolean;
  readonly hasLocal?: boolean;
}

const made = (name: string, port: string, facts: Facts): ServiceEndpoints => {
  const { internal = false, external = false, nodePort = 0, hasAny = true, hasLocal = false } = facts;
  const one = service(name, '10.0.0.1', ['1.1.1.1']);
  const policies = { internalPolicyLocal: internal, externalPolicyLocal: external, nodePort };
  return {
    ...one,
    port: { ...one.port, name: { ...one.port.name, port }, ...policies },
    hasAny,
    local: hasLocal ? one.cluster : [],
  };
};

describe('traffic without a local endpoint', () => {
  it.each([
    ['under policy Cluster is none', {}, [0, 0]],
    ['under internal policy Local', { internal: true }, [1, 0]],
    ['under external policy Local', { external: true, nodePort: 30_000 }, [0, 1]],
    ['under both', { internal: true, external: true, nodePort: 30_000 }, [1, 1]],
    ['from outside is none where nobody comes from outside', { external: true }, [0, 0]],
    ['is none where there is no endpoint anywhere', { internal: true, hasAny: false }, [0, 0]],
    ['is none where one is local', { internal: true, external: true, nodePort: 30_000, hasLocal: true }, [0, 0]],
  ] as const)('%s', (_, facts, [internal, external]) => {
    const lacking = new NoLocalEndpoints('port');
    lacking.update([made('a', 'p', facts)], []);
    lacking.update([made('a', 'p', facts)], []); // once is enough
    expect([lacking.count('internal'), lacking.count('external')]).toEqual([internal, external]);
    lacking.update([], ['ns/a:p/TCP', 'ns/never:p/TCP']);
    expect([lacking.count('internal'), lacking.count('external')]).toEqual([0, 0]);
  });

  it('is counted by service port, or by Service', () => {
    const ports = [made('a', 'p', { internal: true }), made('a', 'q', { internal: true })];
    const [byPort, byService] = [new NoLocalEndpoints('port'), new NoLocalEndpoints('service')];
    for (const one of [byPort, byService]) one.update(ports, []);
    expect([byPort.count('internal'), byService.count('internal')]).toEqual([2, 1]);
    for (const one of [byPort, byService]) one.update([], ['ns/a:p/TCP']);
    expect([byPort.count('internal'), byService.count('internal')]).toEqual([1, 1]);
    for (const one of [byPort, byService]) one.update([made('a', 'q', { internal: true, hasLocal: true })], []);
    expect([byPort.count('internal'), byService.count('internal')]).toEqual([0, 0]);
  });

  it('comes to the same as counting all that there is', () => {
    const step = fc.record({
      name: fc.constantFrom('a', 'b'),
      port: fc.constantFrom('p', 'q'),
      facts: fc.option(fc.record({ internal: fc.boolean(), hasAny: fc.boolean(), hasLocal: fc.boolean() })),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const [byPort, byService] = [new NoLocalEndpoints('port'), new NoLocalEndpoints('service')];
        const all = new Map<string, { readonly name: string; readonly facts: Facts }>();
        for (const { name, port, facts } of steps) {
          const owner = `ns/${name}:${port}/TCP`;
          if (facts === null) all.delete(owner);
          else all.set(owner, { name, facts });
          for (const one of [byPort, byService]) {
            one.update(facts === null ? [] : [made(name, port, facts)], facts === null ? [owner] : []);
          }
        }
        const lacking = [...all.values()].filter(({ facts }) => facts.internal && facts.hasAny && !facts.hasLocal);
        expect(byPort.count('internal')).toBe(lacking.length);
        expect(byService.count('internal')).toBe(new Set(lacking.map(({ name }) => name)).size);
      }),
    );
  });
});
