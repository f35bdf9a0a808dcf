/**
 * iptables tools: detection of the host's variant, listing and writing of tables.
 *
 * The kernel has two implementations (x_tables and nf_tables) with a tool each. Rules of both apply one after the
 * other, so a proxy must use the variant that the rest of the host uses.
 */
import { runTool, ToolMissing } from './host.ts';
import { failureBy, failureOf, type IptablesFailure } from './iptables-failure.ts';
import { lockHolder } from './lock.ts';

export type IptablesVariant = 'nft' | 'legacy';

export interface IptablesTools {
  /** Variant by `--version`; undefined when that does not tell. */
  readonly variant: IptablesVariant | undefined;
  /** Names or paths of the programs, without `-save` and `-restore`. */
  readonly IPv4: string;
  readonly IPv6: string;
}

const TIMEOUT_MS = 120_000;
/** Seconds to wait for the xtables lock, as kube-proxy does. */
const LOCK_SECONDS = 5;
/** Comment of iptables-save about a table that nft wrote and the tool cannot express. */
const INCOMPATIBLE = /^# Table `?(\S+?)'? is incompatible/;

/** Lists all existing tables. Creates none, as `-t` would. Undefined = success. */
export const save = (tool: string, onLine: (line: string) => void): Promise<IptablesFailure | undefined> =>
  list(tool, [], onLine);

/** Lists one table with counters: `[packets:bytes] -A …`. Creates the table when it is missing. Undefined = success. */
export const saveCounters = (
  tool: string,
  table: string,
  onLine: (line: string) => void,
): Promise<IptablesFailure | undefined> => list(tool, ['-c', '-t', table], onLine);

const list = async (
  tool: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<IptablesFailure | undefined> => {
  const file = `${tool}-save`;
  let incompatible: string | undefined;
  let isTorn = false;
  let unfinished: string | undefined;
  const failed = await attempt(file, args, {
    timeoutMs: TIMEOUT_MS,
    onLine: (line) => {
      incompatible ??= INCOMPATIBLE.exec(line)?.[1];
      if (line.startsWith('*')) {
        isTorn ||= unfinished !== undefined;
        unfinished = line.slice(1);
      } else if (line === 'COMMIT') unfinished = undefined;
      onLine(line);
    },
  });
  if (failed !== undefined) return failed;
  if (incompatible !== undefined)
    return failureBy('incompatible', `${file} cannot list table ${incompatible}: it holds rules made by nft`);
  if (isTorn || unfinished !== undefined)
    return failureBy(
      'torn',
      `${file}: the list ends within a table${unfinished === undefined ? '' : `, ${unfinished}`}`,
    );
  return undefined;
};

/** Applies `input` and leaves all other chains (--noflush). Undefined = success. */
export const restore = (
  tool: string,
  input: string,
  timeoutMs: number = TIMEOUT_MS,
): Promise<IptablesFailure | undefined> =>
  attempt(`${tool}-restore`, ['-w', String(LOCK_SECONDS), '--noflush'], { timeoutMs, input });

const attempt = async (
  file: string,
  args: readonly string[],
  options: Parameters<typeof runTool>[2],
): Promise<IptablesFailure | undefined> => {
  try {
    const result = await runTool(file, args, options);
    return result.exitCode === 0 ? undefined : await withHolder(failureOf(file, result));
  } catch (error) {
    if (error instanceof ToolMissing) return failureBy('missing', error.message);
    throw error;
  }
};

const withHolder = async (failure: IptablesFailure): Promise<IptablesFailure> => {
  if (failure.reason !== 'locked') return failure;
  const holder = await lockHolder();
  return holder === undefined ? failure : { ...failure, message: `${failure.message}; the lock is held by ${holder}` };
};

/** Chains in table mangle by which the kubelet marks the variant that it uses (KEP-3178). */
const HINTS = ['KUBE-IPTABLES-HINT', 'KUBE-KUBELET-CANARY'];

/**
 * Finds the tools. `auto` = the variant with the kubelet's hint chain; else the one with more rules; else plain
 * `iptables`. The iptables-wrappers of container images decide in this order too.
 */
export const findTools = async (wanted: 'auto' | IptablesVariant): Promise<IptablesTools> => {
  if (wanted !== 'auto') {
    const tools = await probe(`iptables-${wanted}`, `ip6tables-${wanted}`);
    const plain = tools ?? (await probe('iptables', 'ip6tables'));
    if (plain?.variant === wanted) return plain;
    throw new ToolMissing(
      `no iptables tool of the ${wanted} variant is installed (looked for iptables-${wanted}, iptables)`,
    );
  }
  const [nft, legacy, plain] = await Promise.all([
    probe('iptables-nft', 'ip6tables-nft'),
    probe('iptables-legacy', 'ip6tables-legacy'),
    probe('iptables', 'ip6tables'),
  ]);
  if (nft !== undefined && legacy !== undefined) {
    const variant = await variantInUse(nft, legacy);
    if (variant !== undefined) return variant;
  }
  const tools = plain ?? nft ?? legacy;
  if (tools === undefined)
    throw new ToolMissing('iptables is not installed (looked for iptables, iptables-nft, iptables-legacy)');
  return tools;
};

const probe = async (IPv4: string, IPv6: string): Promise<IptablesTools | undefined> => {
  let text = '';
  const failed = await attempt(IPv4, ['--version'], {
    timeoutMs: TIMEOUT_MS,
    onLine: (line) => {
      text += line;
    },
  });
  if (failed !== undefined) return undefined;
  const variant = text.includes('nf_tables') ? 'nft' : text.includes('legacy') ? 'legacy' : undefined;
  return { variant, IPv4, IPv6 };
};

const variantInUse = async (nft: IptablesTools, legacy: IptablesTools): Promise<IptablesTools | undefined> => {
  const [nftLines, legacyLines] = await Promise.all([listing(nft), listing(legacy)]);
  if (hasHint(nftLines)) return nft;
  if (hasHint(legacyLines)) return legacy;
  const [inNft, inLegacy] = [rules(nftLines), rules(legacyLines)];
  if (inNft === 0 && inLegacy === 0) return undefined;
  return inLegacy > inNft ? legacy : nft;
};

const listing = async (tools: IptablesTools): Promise<readonly string[]> => {
  const lines: string[] = [];
  await save(tools.IPv4, (line) => lines.push(line));
  return lines;
};

const hasHint = (lines: readonly string[]): boolean =>
  lines.some((line) => HINTS.some((hint) => line.startsWith(`:${hint} `)));

const rules = (lines: readonly string[]): number => lines.filter((line) => line.startsWith('-A')).length;
