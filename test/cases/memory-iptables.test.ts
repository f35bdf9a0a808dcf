/** The iptables in memory takes and refuses what the real ones do; test/kernel/round-trip.test.ts asks those the same. */
import { expect, it } from 'vitest';
import { chainsIn, MemoryIptables, Refused } from './memory-iptables.ts';
import { TOOL_INPUTS } from './tool-inputs.ts';

it.each(TOOL_INPUTS.map((one) => [one.name, one] as const))('%s', (_, { before, input, isRefused }) => {
  const iptables = new MemoryIptables(before);
  if (isRefused) expect(() => iptables.restore(input)).toThrow(Refused);
  else iptables.restore(input);
  const again = new MemoryIptables(iptables.save().replace(/^:(?!KUBE).*\n/gm, ''));
  expect(chainsIn(again.save()), 'a listing, restored').toEqual(chainsIn(iptables.save()));
});

it('lists chains with their rules, table by table', () => {
  const iptables = new MemoryIptables('*nat\n:KUBE-A - [0:0]\n-A KUBE-A -j RETURN\n-A OUTPUT -j KUBE-A\nCOMMIT\n');
  expect(iptables.save()).toContain(`*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-A - [0:0]
-A OUTPUT -j KUBE-A
-A KUBE-A -j RETURN
COMMIT
`);
});
