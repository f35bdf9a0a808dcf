import { expect, it } from 'vitest';
import { isEligible } from '../../src/model/eligibility.ts';

const taint = (key: string) => ({ key, value: 'x', effect: 'NoSchedule' });
const AUTOSCALER = 'ToBeDeletedByClusterAutoscaler';

it.each([
  ['a plain node', { metadata: { name: 'n' } }, true],
  ['one with another taint (P5)', { spec: { taints: [taint('other')] } }, true],
  ['one that the autoscaler deletes (P6)', { spec: { taints: [taint('other'), taint(AUTOSCALER)] } }, false],
  ['one that is being deleted (P6)', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, false],
  ['one that is not', { metadata: { deletionTimestamp: null } }, true],
  ['one with nonsense for taints', { spec: { taints: 'ToBeDeletedByClusterAutoscaler' } }, true],
  ['one with nonsense among its taints', { metadata: null, spec: { taints: [null, 7, {}] } }, true],
  ['nothing', undefined, true],
])('%s is judged', (_, node, expected) => {
  expect(isEligible(node)).toBe(expected);
});
