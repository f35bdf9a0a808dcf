import fc from 'fast-check';
import { expect, it } from 'vitest';
import { typeOf } from '../../src/lab/apiserver/resources.ts';
import { readSelector } from '../../src/lab/apiserver/selectors.ts';
import { Store } from '../../src/lab/apiserver/store.ts';
import { resourcesFor } from '../../src/sources/resources.ts';
import { NODE } from './support.ts';

const labels = fc.dictionary(
  fc.constantFrom('service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless', 'app'),
  fc.constantFrom('', 'x'),
);
const spec = fc.option(fc.record({ clusterIP: fc.constantFrom('None', '', '10.0.0.1') }, { requiredKeys: [] }), {
  nil: undefined,
});

it('selectors and predicates select the same objects', () => {
  fc.assert(
    fc.property(labels, spec, fc.constantFrom(NODE, 'other'), (objectLabels, objectSpec, name) => {
      for (const resource of resourcesFor(NODE)) {
        const { kind, apiVersion, labelSelector, fieldSelector, selects } = resource;
        const object = new Store(1, 10).put({
          kind,
          apiVersion,
          metadata: { name, labels: objectLabels },
          spec: objectSpec,
        });
        const type = typeOf(kind, apiVersion);
        if (type === undefined) throw new Error(`no type ${kind}`);
        expect(selects(object)).toBe(readSelector(type, '', { labelSelector, fieldSelector })(object));
      }
    }),
  );
});

it('predicates let malformed objects through or not, but do not break', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const { selects } of resourcesFor(NODE)) {
        for (const object of [value, { metadata: value }, { metadata: { labels: value }, spec: value }])
          selects(object);
      }
    }),
  );
});
