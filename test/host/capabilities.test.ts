/** Which capabilities a process has, by what the kernel says of it. */
import { describe, expect, it } from 'vitest';
import { missingCapabilities, missingIn } from '../../src/kernel/capabilities.ts';

const BOTH = ['CAP_NET_ADMIN', 'CAP_NET_RAW'] as const;
const status = (effective: string): string =>
  `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${effective}\nCapBnd:\t0\n`;

describe('missing capabilities', () => {
  it.each([
    ['000001ffffffffff', []],
    ['0000000000003000', []],
    ['0000000000001000', ['CAP_NET_RAW']],
    ['0000000000002000', ['CAP_NET_ADMIN']],
    ['0000000000000000', BOTH],
  ] as const)('of %s', (effective, missing) => expect(missingIn(status(effective), BOTH)).toEqual(missing));

  it('are none where the kernel does not say', () => expect(missingIn('Name:\tnode\n', BOTH)).toEqual([]));

  it('are asked of this process', async () => expect(await missingCapabilities([])).toEqual([]));
});
