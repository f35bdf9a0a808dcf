/** Capabilities of this process (capabilities(7)), and which of the required ones it lacks. */
import { readFile } from 'node:fs/promises';

/** Bit numbers of linux/capability.h. */
const BITS = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13 } as const;

export type Capability = keyof typeof BITS;

const EFFECTIVE = /^CapEff:\s*([0-9a-f]+)$/m;

/**
 * Missing capabilities by the text of /proc/PID/status. Empty when the text has no CapEff: a later system call reports
 * the error.
 */
export const missingIn = (status: string, wanted: readonly Capability[]): readonly Capability[] => {
  const digits = EFFECTIVE.exec(status)?.[1];
  if (digits === undefined) return [];
  const held = BigInt(`0x${digits}`);
  return wanted.filter((name) => ((held >> BigInt(BITS[name])) & 1n) === 0n);
};

export const missingCapabilities = async (wanted: readonly Capability[]): Promise<readonly Capability[]> =>
  missingIn(await readFile('/proc/self/status', 'utf8').catch(() => ''), wanted);
