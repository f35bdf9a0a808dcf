/**
 * The iptables backend: the engine's contract over iptables-save and iptables-restore.
 *
 * Kernel objects are our chains (each with all its rules), the jumps in built-in chains, and for NodePorts on loopback a
 * guard that the kubelet shares and a kernel setting. Services compile to chains and frontends. The dispatch tree lays
 * frontends out as chains.
 */
import type { Backend, Measure, Section } from '../../dataplane/contract.ts';
import { type Mutex, newMutex, unlocked } from '../../dataplane/mutex.ts';
import { byId } from '../../dataplane/turn.ts';
import type { IptablesTools } from '../../kernel/iptables.ts';
import { PROC_SYS, type Sysctls } from '../../kernel/sysctl.ts';
import { IP_FAMILIES, type IPFamily } from '../../model/address.ts';
import { listCounters, listRules, writeRules } from '../xtables/driver.ts';
import { formatRule, type Jump, type SharedChain, type XtablesChain } from '../xtables/objects.ts';
import { rulesOfKubeProxy } from '../xtables/origin.ts';
import { placesOfRules } from '../xtables/places.ts';
import { printRules } from '../xtables/print.ts';
import type { RestoreInput } from '../xtables/restore.ts';
import { RuleWatch } from '../xtables/rule-watch.ts';
import { formatSysctl } from '../xtables/sysctl.ts';
import { base, jumpRank } from './base.ts';
import { compile } from './compile.ts';
import { ConnectionCounts } from './connections.ts';
import { Dispatch } from './dispatch.ts';
import { IptablesListing } from './listing.ts';
import type { DesiredIptablesObject, IptablesObject } from './objects.ts';
import { type IptablesPayload, plan } from './plan.ts';
import { LoopbackSettings } from './settings.ts';

/** Rules of one restore. The nf_tables tool is quadratic in their number. The legacy tool copies the whole table each time. */
const MAX_RULES = { nft: 4_000, legacy: 60_000 } as const;
/**
 * Objects of one group. A change of dispatch makes nf_tables validate all chains that packets can reach (60 ms at 5,000
 * Services), so dispatch is written once for a large group.
 */
const GROUP_SIZE = { nft: 6_000, legacy: 20_000 } as const;

export interface IptablesOptions {
  readonly family: IPFamily;
  /** Undefined for a dump, which reads and writes nothing. */
  readonly tools?: IptablesTools;
  /** Undefined where no kernel setting is read or written. */
  readonly sysctls?: Sysctls;
  /** Called with what is missing when the backend goes on without an optional part. */
  readonly warn?: (message: string) => void;
  /** Mutex that the tools run in. */
  readonly inTurn?: Mutex;
  /** Notifications of other programs' writes, where the kernel sends them. */
  readonly ruleWatch?: RuleWatch;
  /** Called with every restore, for counting. */
  readonly onRestore?: (input: RestoreInput) => void;
}

/**
 * Backends of both families. With the nf_tables tools one runs at a time: a listing restarts whenever the generation of the
 * ruleset changes, which all families share, so that under a stream of writes a read would take a whole core and never end
 * (iptables 1.8.9).
 */
export const iptablesBackends = (
  tools: IptablesTools,
  warn: (message: string) => void = toStderr,
): ReadonlyMap<IPFamily, Backend<DesiredIptablesObject, IptablesPayload>> => {
  const ofVariant =
    tools.variant === 'nft' ? { inTurn: newMutex(), ruleWatch: new RuleWatch(undefined, undefined, warn) } : {};
  const common = { tools, ...ofVariant, sysctls: PROC_SYS, warn };
  return new Map(IP_FAMILIES.map((family) => [family, iptablesBackend({ family, ...common })]));
};

const toStderr = (message: string): void => process.emitWarning(message);

export const iptablesBackend = ({
  family,
  tools,
  sysctls,
  warn = toStderr,
  inTurn = unlocked,
  ruleWatch,
  onRestore,
}: IptablesOptions): Backend<DesiredIptablesObject, IptablesPayload> => {
  const tool = tools?.[family] ?? 'iptables';
  const variant = tools?.variant ?? 'nft';
  // route_localnet is a setting of IPv4
  const settings = sysctls === undefined || family === 'IPv6' ? undefined : new LoopbackSettings(sysctls, warn);
  let readMs = 0;
  return {
    mode: 'iptables',
    groupSize: GROUP_SIZE[variant],
    base,
    compile,
    arranger: () => new Dispatch(family === 'IPv4' ? 32 : 128),
    plan: (changes) => plan(changes, MAX_RULES[variant]),
    format,
    measure,
    print: (sections) => [{ tool: 'iptables', text: printSettings(sections) + printRules(sections, jumpRank) }],
    read: async () => {
      const listing = new IptablesListing(family);
      await inTurn(async () => {
        const startedAt = performance.now();
        await listRules(tool, (line) => listing.push(line));
        readMs = performance.now() - startedAt;
      });
      const found = await byId<IptablesObject>(listing.objects());
      for (const setting of (await settings?.read()) ?? []) found.set(setting.id, setting);
      return found;
    },
    readMs: () => readMs,
    traffic: async () => {
      const connections = new ConnectionCounts();
      await inTurn(() => listCounters(tool, 'nat', (line) => connections.push(line)));
      return { counts: connections.counts, isWhole: true };
    },
    addressPortsOf: (object) => (object.kind === 'chain' ? placesOfRules(object) : []),
    madeByOther: (found) => rulesOfKubeProxy(found.filter(isRule)),
    apply: async ({ payload }) => {
      if ('settings' in payload) return settings?.write(payload.settings);
      onRestore?.(payload);
      const write = (): Promise<void> => writeRules(tool, payload);
      await inTurn(() => (ruleWatch === undefined ? write() : ruleWatch.ignoringOwnWrites(write)));
    },
    ...(ruleWatch === undefined ? {} : { watch: (onChange: () => void) => ruleWatch.listen(family, onChange) }),
  };
};

/** Counts rules as kube-proxy's metric does, jumps included. */
const measure = (object: DesiredIptablesObject): Measure | undefined => {
  if (object.kind === 'chain') return { of: object.table, count: object.rules.length };
  return object.kind === 'jump' ? { of: object.table, count: 1 } : undefined;
};

const isRule = (object: DesiredIptablesObject): object is XtablesChain | Jump | SharedChain =>
  object.kind === 'chain' || object.kind === 'jump' || object.kind === 'shared-chain';

/** Kernel settings are printed as comments: iptables-restore has no syntax for them. */
const printSettings = (sections: readonly Section<DesiredIptablesObject>[]): string =>
  sections
    .flatMap(({ objects }) => objects)
    .flatMap((object) => (object.kind === 'sysctl' ? [`# kernel setting: ${formatSysctl(object)}\n`] : []))
    .join('');

const format = (object: DesiredIptablesObject): string => {
  switch (object.kind) {
    case 'chain':
    case 'jump':
    case 'shared-chain':
      return formatRule(object);
    case 'sysctl':
      return formatSysctl(object);
    case 'trunk':
      return object.rules.map((rule) => `-A ${object.chain} ${rule}`).join('\n');
    case 'frontend':
      return object.lines.map(({ chain, rule }) => `-A ${chain} ${rule}`).join('\n');
  }
};
