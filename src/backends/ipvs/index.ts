/**
 * The ipvs backend: the engine's contract over IPVS, ipset and rtnetlink, and a constant number of iptables rules.
 *
 * Kernel objects are virtual servers, real servers, addresses on the dummy link, sets and their entries, the chains that
 * match the sets, and a few kernel settings. Services compile to frontends, which arrange.ts takes apart into these.
 */
import type { Backend } from '../../dataplane/contract.ts';
import { byId } from '../../dataplane/turn.ts';
import type { IptablesTools } from '../../kernel/iptables.ts';
import type { IPFamily } from '../../model/address.ts';
import { asKernelError } from '../kernel-error.ts';
import { type RulesDriver, rulesDrivers } from '../xtables/driver.ts';
import { formatRule } from '../xtables/objects.ts';
import type { Sysctl } from '../xtables/sysctl.ts';
import { FrontendArranger } from './arrange.ts';
import { base, kernelSettings } from './base.ts';
import { compile } from './compile.ts';
import { isIpvsPresent, type OpenedIpvsDeparture, openIpvsDeparture } from './departure.ts';
import { Draining } from './draining.ts';
import { type Handles, openHandles } from './handles.ts';
import { PacketMarks } from './marks.ts';
import { type DesiredIpvsObject, formatObject, type IpvsObject } from './objects.ts';
import { ipvsObjectsOfKubeProxy } from './origin.ts';
import { type IpvsPayload, plan } from './plan.ts';
import { print } from './print.ts';
import { readIpvsObjects } from './read.ts';
import { readTraffic } from './read-traffic.ts';
import { type IpvsSettings, SCHEDULERS } from './settings.ts';
import { writeNumbered } from './write.ts';

/** Objects of a few hundred Services: the event loop runs between two groups. */
const GROUP_SIZE = 4_000;

export interface IpvsKernel {
  readonly handles: Handles;
  readonly rules: Readonly<Record<IPFamily, RulesDriver>>;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
  /** Reads delete nothing, not even real servers that have drained. */
  readonly readOnly?: boolean | undefined;
}

export interface IpvsOptions {
  readonly family: IPFamily;
  readonly settings: IpvsSettings;
  /** Undefined for a dump, which reads and writes nothing. */
  readonly kernel?: IpvsKernel;
}

/** Opens the kernel. Throws, naming what is missing, when it has no IPVS. With `readOnly` no module is loaded. */
export const openKernel = async (
  tools: IptablesTools,
  { scheduler }: IpvsSettings,
  readOnly = false,
): Promise<IpvsKernel> => {
  if (!SCHEDULERS.includes(scheduler)) {
    throw new Error(`IPVS has no scheduler ${scheduler}; there is: ${SCHEDULERS.join(', ')}`);
  }
  const rules = rulesDrivers(tools);
  return { handles: await openHandles(readOnly), rules, readOnly };
};

export const ipvsBackend = ({ family, settings, kernel }: IpvsOptions): Backend<DesiredIpvsObject, IpvsPayload> => {
  const draining = kernel === undefined ? undefined : new Draining(kernel.handles.ipvs, kernel.now);
  const marks = new PacketMarks(settings.marks);
  const sysctls = kernelSettings(settings).filter((object): object is Sysctl => object.kind === 'sysctl');
  return {
    mode: 'ipvs',
    groupSize: GROUP_SIZE,
    base: (node) => base(node, settings),
    compile: (service, node) => compile(service, node, settings),
    arranger: () => new FrontendArranger(),
    plan,
    format,
    print: (sections) => print(sections, settings.marks),
    read: async () => {
      if (kernel === undefined || draining === undefined) throw offline();
      try {
        const rules = await kernel.rules[family].read();
        // reads of a read-only backend do not delete drained real servers
        const seen = kernel.readOnly === true ? undefined : draining;
        const held = await readIpvsObjects(kernel.handles, seen, family, settings, sysctls, marks);
        const found = await byId<IpvsObject>(held);
        for (const rule of rules.values()) found.set(rule.id, rule);
        return found;
      } catch (error) {
        throw asKernelError(error);
      }
    },
    traffic: async () => {
      if (kernel === undefined) throw offline();
      try {
        return await readTraffic(kernel.handles, family, marks);
      } catch (error) {
        throw asKernelError(error);
      }
    },
    addressPortsOf: (object) =>
      object.kind === 'virtual-server' && !('fwmark' in object.key)
        ? [{ ip: object.key.address, protocol: object.key.protocol, port: object.key.port }]
        : [],
    madeByOther: (found) => ipvsObjectsOfKubeProxy(found.filter((object) => object.kind !== 'frontend')),
    apply: async ({ payload }) => {
      if (kernel === undefined || draining === undefined) throw offline();
      if (payload.by === 'iptables') await kernel.rules[family].write(payload.input);
      else await writeNumbered(kernel.handles, draining, marks, payload.changes);
    },
  };
};

/** Opens this mode to leave it. Undefined: the kernel has nothing of it. Throws, naming what is missing. */
export const departure = async (
  tools: () => Promise<IptablesTools>,
  settings: IpvsSettings,
  masqueradeMark: number,
): Promise<OpenedIpvsDeparture | undefined> =>
  isIpvsPresent() ? openIpvsDeparture(await tools(), settings, masqueradeMark) : undefined;

const offline = (): Error => new Error('this backend was made for a dump, and has no kernel');

const format = (object: DesiredIpvsObject): string => {
  if (object.kind === 'frontend') return object.objects.map(formatObject).join('\n');
  return object.kind === 'chain' || object.kind === 'jump' ? formatRule(object) : formatObject(object);
};

export type { IpvsSettings } from './settings.ts';
