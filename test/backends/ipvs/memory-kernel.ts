/**
 * A kernel with IPVS, sets, links and iptables in memory, and the ipvs backend over it: the driver speaks netlink to it.
 *
 * What belongs together is checked together, as there: a rule cannot name a set that is not there, and a set that rules
 * look into cannot be destroyed.
 */
import { handlesOver } from '../../../src/backends/ipvs/handles.ts';
import { type IpvsKernel, ipvsBackend } from '../../../src/backends/ipvs/index.ts';
import { type DesiredIpvsObject, serviceFlag } from '../../../src/backends/ipvs/objects.ts';
import type { IpvsPayload } from '../../../src/backends/ipvs/plan.ts';
import type { IpvsSettings } from '../../../src/backends/ipvs/settings.ts';
import type { RulesDriver } from '../../../src/backends/xtables/driver.ts';
import { SaveParser } from '../../../src/backends/xtables/parse.ts';
import { type Backend, KernelError } from '../../../src/dataplane/contract.ts';
import { Ipvs } from '../../../src/ipvs-netlink/ipvs.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import { NetlinkConnection } from '../../../src/netlink/connection.ts';
import { listSets } from '../../../src/netlink/ipset.ts';
import { listAddresses } from '../../../src/netlink/route.ts';
import { MemoryIptables } from '../../cases/memory-iptables.ts';
import { End } from './memory-end.ts';
import { MemoryIpvs } from './memory-ipvs.ts';
import { MemoryLinks } from './memory-links.ts';
import { MemorySets } from './memory-sets.ts';

export const SETTINGS: IpvsSettings = {
  scheduler: 'rr',
  strictARP: false,
  excluded: [],
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
  ignoresReuse: false,
  marks: { mask: 0x1f7f, masqueradeMark: 0x4000 },
};

const NAMED_SET = /--(?:match|map)-set (\S+)/g;

export class MemoryKernel {
  readonly ipvs = new MemoryIpvs();
  readonly links = new MemoryLinks();
  readonly sets = new MemorySets((name) => this.#rulesNaming(name));
  readonly iptables: Readonly<Record<IPFamily, MemoryIptables>>;
  /** Below /proc/sys. */
  readonly sysctls = new Map<string, string>();
  readonly sockets = {
    ipvs: new End(this.ipvs.handle),
    sets: new End(this.sets.handle),
    links: new End(this.links.handle),
  };
  /** Milliseconds since 1970. */
  time = 1_000_000;
  #sysctlWrites = 0;

  constructor(foreignRules = '') {
    this.iptables = { IPv4: new MemoryIptables(foreignRules), IPv6: new MemoryIptables(foreignRules) };
  }

  /** How often rules and settings were written. */
  get rulesWritten(): number {
    return this.iptables.IPv4.restores + this.iptables.IPv6.restores + this.#sysctlWrites;
  }

  /** For a program that starts now. */
  open(): IpvsKernel {
    const handles = handlesOver({
      ipvs: Ipvs.open(this.sockets.ipvs.open()),
      sets: new NetlinkConnection(this.sockets.sets.open()),
      links: new NetlinkConnection(this.sockets.links.open()),
      open: {
        ipvs: () => Ipvs.open(this.sockets.ipvs.open()),
        sets: () => new NetlinkConnection(this.sockets.sets.open()),
        links: () => new NetlinkConnection(this.sockets.links.open()),
      },
      sysctls: {
        read: async (path) => this.sysctls.get(path),
        write: async (path, value) => {
          this.#sysctlWrites += 1;
          this.sysctls.set(path, value);
        },
      },
    });
    return { handles, rules: { IPv4: this.#rules('IPv4'), IPv6: this.#rules('IPv6') }, now: () => this.time };
  }

  backend(family: IPFamily, settings: IpvsSettings = SETTINGS): Backend<DesiredIpvsObject, IpvsPayload> {
    return ipvsBackend({ family, settings, kernel: this.open() });
  }

  /** Everything, of us and of others, as sorted lines in the tools' words. */
  listing(): readonly string[] {
    const { ipvs, sets, links } = this.open().handles;
    const servers = ipvs.services().flatMap(({ key, settings }) => {
      const lines = ipvs
        .destinations(key)
        .map(
          (server) => `-a ${serviceFlag(key)} -r ${server.key.address} ${server.key.port} -w ${server.settings.weight}`,
        );
      return [`-A ${serviceFlag(key)} ${JSON.stringify(settings)}`, ...lines];
    });
    const entries = [...listSets(sets, this.sets.names).values()].flatMap(({ definition, entries: own }) => [
      `create ${JSON.stringify(definition)}`,
      ...own.map((entry) => `add ${definition.name} ${JSON.stringify(entry)}`),
    ]);
    const addresses = (['IPv4', 'IPv6'] as const).flatMap((family) => listAddresses(links, family));
    const { IPv4, IPv6 } = this.iptables;
    return [
      ...servers,
      ...entries,
      ...addresses.map((address) => JSON.stringify(address)),
      ...IPv4.save().split('\n'),
      ...IPv6.save()
        .split('\n')
        .map((line) => `6: ${line}`),
    ].sort();
  }

  #rules(family: IPFamily): RulesDriver {
    return {
      read: async () => {
        const parser = new SaveParser();
        for (const line of this.iptables[family].save().split('\n')) parser.push(line);
        return parser.objects;
      },
      write: async ({ text }) => {
        const missing = namedSets(text).find((name) => !this.sets.has(name));
        if (missing !== undefined) throw new KernelError('content', `Set ${missing} doesn't exist.`);
        try {
          this.iptables[family].restore(text);
        } catch (error) {
          throw new KernelError('content', error instanceof Error ? error.message : String(error));
        }
      },
    };
  }

  #rulesNaming(name: string): number {
    const all = [this.iptables.IPv4, this.iptables.IPv6].flatMap((tables) => namedSets(tables.save()));
    return all.filter((one) => one === name).length;
  }
}

const namedSets = (text: string): readonly string[] => [...text.matchAll(NAMED_SET)].flatMap(([, name]) => name ?? []);
