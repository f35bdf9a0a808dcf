/**
 * Walks packets through iptables chains without a kernel: every random branch is followed, every rule passed is counted.
 *
 * Understands the matches and targets that this backend writes and refuses all others, so that a rule it does not know
 * cannot pass unseen.
 */

import type { DesiredIptablesObject } from '../../../src/backends/iptables/objects.ts';
import type { TableName } from '../../../src/backends/xtables/names.ts';
import { cidrContains, isLoopback, parseCIDR } from '../../../src/model/address.ts';

export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  /** Undefined for a packet that the node itself sends. */
  readonly inInterface: string | undefined;
}

export interface Outcome {
  readonly verdict: 'accept' | 'reject' | 'drop';
  /** Where it goes after translation, `ip:port`. */
  readonly to: string;
  readonly masqueraded: boolean;
}

export interface Walk {
  /** Distinct outcomes, as text: `10.1.1.1:80`, `10.1.1.1:80 +m`, `reject`, `drop`, `martian`. */
  readonly outcomes: readonly string[];
  /** Most rules that one packet was compared with in the nat table's first hook. */
  readonly natRules: number;
}

interface State {
  readonly packet: Packet;
  readonly mark: number;
  readonly isTranslated: boolean;
  readonly rules: number;
}

type Step = { readonly state: State; readonly end: 'continue' | 'accept' | 'reject' | 'drop' | 'masquerade' };

interface Rule {
  readonly matches: readonly ((state: State) => boolean | 'both')[];
  readonly target: string;
  readonly argument: string;
}

export class Walker {
  readonly #chains = new Map<string, readonly Rule[]>();
  readonly #localAddresses: ReadonlySet<string>;
  readonly #settings = new Map<string, string>();

  constructor(objects: Iterable<DesiredIptablesObject>, localAddresses: readonly string[]) {
    this.#localAddresses = new Set(localAddresses);
    const jumps: DesiredIptablesObject[] = [];
    for (const object of objects) {
      if (object.kind === 'chain')
        this.#chains.set(
          object.id,
          object.rules.map((text) => this.#parse(text)),
        );
      else if (object.kind === 'shared-chain') this.#chains.set(object.id, []);
      else if (object.kind === 'jump') jumps.push(object);
      else if (object.kind === 'sysctl') this.#settings.set(object.path, object.content);
      else throw new Error(`not a kernel object: ${object.kind}`);
    }
    for (const object of jumps) {
      if (object.kind !== 'jump') continue;
      const id = `${object.table} ${object.chain}`;
      this.#chains.set(id, [...(this.#chains.get(id) ?? []), this.#parse(object.rule)]);
    }
  }

  walk(packet: Packet): Walk {
    const start: State = { packet, mark: 0, isTranslated: false, rules: 0 };
    const nat = this.#chain('nat', packet.inInterface === undefined ? 'OUTPUT' : 'PREROUTING', start);
    const outcomes = new Set<string>();
    for (const { state, end } of nat) {
      if (end === 'reject' || end === 'drop') throw new Error('a verdict in the nat table');
      for (const text of this.#filterAndPost(state)) outcomes.add(text);
    }
    return { outcomes: [...outcomes].sort(), natRules: Math.max(...nat.map(({ state }) => state.rules)) };
  }

  #filterAndPost(state: State): readonly string[] {
    const isLocal = this.#isLocal(state.packet.destination);
    const hook = state.packet.inInterface === undefined ? 'OUTPUT' : isLocal ? 'INPUT' : 'FORWARD';
    if (this.#isMartian(state.packet)) return ['martian'];
    return this.#chain('filter', hook, state).flatMap(({ state: after, end }) => {
      if (end === 'reject' || end === 'drop') return [end];
      const { destination, port } = after.packet;
      const to = destination.includes(':') ? `[${destination}]:${port}` : `${destination}:${port}`;
      return this.#chain('nat', 'POSTROUTING', after).map((step) => (step.end === 'masquerade' ? `${to} +m` : to));
    });
  }

  #chain(table: TableName, name: string, start: State): readonly Step[] {
    let open: readonly State[] = [start];
    const ended: Step[] = [];
    for (const rule of this.#chains.get(`${table} ${name}`) ?? []) {
      const next: State[] = [];
      for (const before of open) {
        const state = { ...before, rules: before.rules + 1 };
        const matched = this.#matches(rule, state);
        if (matched !== true) next.push(state);
        if (matched === false) continue;
        if (rule.target === 'RETURN') {
          ended.push({ state, end: 'continue' });
          continue;
        }
        for (const step of this.#target(table, rule, state)) {
          if (step.end === 'continue') next.push(step.state);
          else ended.push(step);
        }
      }
      open = unique(next);
    }
    return [...ended, ...open.map((state) => ({ state, end: 'continue' as const }))];
  }

  #matches(rule: Rule, state: State): boolean | 'both' {
    const results = rule.matches.map((match) => match(state));
    return results.includes(false) ? false : results.includes('both') ? 'both' : true;
  }

  #target(table: TableName, { target, argument }: Rule, state: State): readonly Step[] {
    switch (target) {
      case '':
        return [{ state, end: 'continue' }];
      case 'ACCEPT':
        return [{ state, end: 'accept' }];
      case 'DROP':
        return [{ state, end: 'drop' }];
      case 'REJECT':
        return [{ state, end: 'reject' }];
      case 'MASQUERADE':
        return [{ state, end: 'masquerade' }];
      case 'MARK': {
        const [value = 0, mask = 0] = argument.replace('--set-xmark ', '').split('/').map(Number);
        return [{ state: { ...state, mark: (state.mark & ~mask) ^ value }, end: 'continue' }];
      }
      case 'DNAT': {
        const [, ip = '', port = ''] = /^--to-destination \[?([^\]]*?)\]?:(\d+)$/.exec(argument) ?? [];
        const packet = { ...state.packet, destination: ip, port: Number(port) };
        return [{ state: { ...state, packet, isTranslated: true }, end: 'accept' }];
      }
      default:
        if (!this.#chains.has(`${table} ${target}`)) throw new Error(`no chain ${table} ${target}`);
        return this.#chain(table, target, state);
    }
  }

  /** Loopback addresses stay within the node, unless the kernel is told otherwise: the packet is lost. */
  #isMartian({ source, destination, inInterface }: Packet): boolean {
    if (this.#settings.get('net/ipv4/conf/all/route_localnet') === '1') return false;
    const leaves = isLoopback(source) && !isLoopback(destination) && !this.#localAddresses.has(destination);
    return leaves || (inInterface !== undefined && isLoopback(destination));
  }

  #isLocal(ip: string): boolean {
    return isLoopback(ip) || this.#localAddresses.has(ip);
  }

  #parse(text: string): Rule {
    const words = [...text.matchAll(/"[^"]*"|\S+/g)].map(([word]) => word);
    const matches: Rule['matches'][number][] = [];
    let negated = false;
    let target = '';
    let argument = '';
    const next = (): string => words.shift() ?? '';
    const add = (match: (state: State) => boolean): void => {
      const not = negated;
      matches.push((state) => match(state) !== not);
      negated = false;
    };
    while (words.length > 0) {
      const word = next();
      if (word === '!') negated = true;
      else if (word === '-j') {
        target = next();
        argument = words.splice(0).join(' ');
      } else if (word === '-m') this.#module(next(), next, matches);
      else this.#option(word, next, add);
    }
    return { matches, target, argument };
  }

  #option(word: string, next: () => string, add: (match: (state: State) => boolean) => void): void {
    const value = next();
    const cidr = parseCIDR(value);
    const contains = (ip: string): boolean => cidr !== undefined && cidrContains(cidr, ip);
    const [low = 0, high = low] = value.split(':').map(Number);
    if (word === '-s') add(({ packet }) => contains(packet.source));
    else if (word === '-d') add(({ packet }) => contains(packet.destination));
    else if (word === '-p') add(({ packet }) => packet.protocol === value);
    else if (word === '--dport') add(({ packet }) => packet.port >= low && packet.port <= high);
    else if (word === '--dst-type') add(({ packet }) => this.#isLocal(packet.destination));
    else if (word === '--src-type') add(({ packet }) => this.#isLocal(packet.source));
    else if (word === '--ctstate') {
      // every packet here is the first of its connection
      const isIn = (name: string): boolean => value.split(',').includes(name);
      add(({ isTranslated }) => isIn('NEW') || (isTranslated && isIn('DNAT')));
    } else if (word === '--mark') {
      const [mark = 0, mask = 0] = value.split('/').map(Number);
      add((state) => (state.mark & mask) === mark);
    } else if (word === '-i') {
      const prefix = value.endsWith('+') ? value.slice(0, -1) : undefined;
      add(({ packet: { inInterface = '' } }) =>
        prefix === undefined ? inInterface === value : inInterface.startsWith(prefix),
      );
    } else throw new Error(`the walker does not know ${word}`);
  }

  #module(name: string, next: () => string, matches: Rule['matches'][number][]): void {
    if (name === 'comment') {
      next();
      next();
    } else if (name === 'statistic') {
      for (let i = 0; i < 4; i += 1) next();
      matches.push(() => 'both');
    } else if (name === 'recent') {
      const operation = next();
      const rest = operation === '--rcheck' ? 8 : 5; // --seconds N --reap --name N --mask M --rsource
      for (let i = 0; i < rest; i += 1) next();
      matches.push(() => (operation === '--rcheck' ? 'both' : true));
    } else if (!['tcp', 'udp', 'sctp', 'addrtype', 'conntrack', 'mark'].includes(name)) {
      throw new Error(`the walker does not know -m ${name}`);
    }
  }
}

/** Branches that came together again are one; the one that passed more rules counts. */
const unique = (states: readonly State[]): readonly State[] => {
  const byKey = new Map<string, State>();
  for (const state of states) {
    const key = JSON.stringify([state.packet, state.mark, state.isTranslated]);
    const known = byKey.get(key);
    if (known === undefined || known.rules < state.rules) byKey.set(key, state);
  }
  return [...byKey.values()];
};
