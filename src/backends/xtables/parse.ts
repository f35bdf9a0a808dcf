/** What iptables-save prints to objects: our chains, and the jumps that lead to them. Pure, fed line by line. */
import { isOurs, TABLES, type Table } from './names.ts';
import { type Chain, chain, chainId, isOurJump, type Jump, jump } from './objects.ts';

const RULE = /^-A (\S+)(?: (.*))?$/;
/** Only a built-in chain has a policy. */
const CHAIN = /^:(\S+) (\S+)/;
const NO_POLICY = '-';
const COUNTERS = /^\[\d+:\d+\] /;
/** Space doubled by the nfacct match of iptables 1.8.9, and whatever other versions do alike. */
const SPACES = / {2,}/g;

const isTable = (name: string): name is Table => TABLES.some((table) => table === name);

export class SaveParser {
  readonly #objects = new Map<string, Chain | Jump>();
  /** Rules of chains that were declared, and may have more. */
  #chains = new Map<string, string[]>();
  /** The chain of the rules that come just now: a table lists them chain by chain. */
  #current = '';
  #builtIn = new Set<string>();
  #table: Table | undefined;

  get objects(): ReadonlyMap<string, Chain | Jump> {
    return this.#objects;
  }

  push(line: string): void {
    if (line.startsWith('*')) this.#begin(line.slice(1));
    else if (line === 'COMMIT') this.#end();
    else if (this.#table !== undefined && line.startsWith(':')) this.#declare(this.#table, line);
    else if (this.#table !== undefined) this.#rule(this.#table, line.replace(COUNTERS, ''));
  }

  #begin(name: string): void {
    this.#table = isTable(name) ? name : undefined;
    this.#current = '';
    this.#builtIn = new Set();
  }

  #declare(table: Table, line: string): void {
    const [, name, policy] = CHAIN.exec(line) ?? [];
    if (name === undefined) return;
    if (policy !== NO_POLICY) this.#builtIn.add(name);
    else if (isOurs(table, name)) this.#chains.set(name, []);
  }

  #rule(table: Table, line: string): void {
    const [, name, text = ''] = RULE.exec(line) ?? [];
    if (name === undefined) return;
    if (name !== this.#current) this.#finish(table, this.#current);
    this.#current = name;
    const rules = this.#chains.get(name);
    if (rules !== undefined) rules.push(text.includes('  ') ? text.replace(SPACES, ' ') : text);
    else if (this.#builtIn.has(name) && isOurJump(table, text)) this.#jump(table, name, text);
  }

  #jump(table: Table, from: string, text: string): void {
    for (let copy = 0; ; copy += 1) {
      const object = jump(table, from, text, copy);
      if (this.#objects.has(object.id)) continue;
      this.#objects.set(object.id, object);
      return;
    }
  }

  /** A chain as soon as all of it is here: all of a table's at its end would be too much at a stretch. */
  #finish(table: Table, name: string): void {
    const rules = this.#chains.get(name);
    if (rules === undefined) return;
    this.#chains.delete(name);
    this.#objects.set(chainId(table, name), chain(table, name, rules));
  }

  #end(): void {
    const table = this.#table;
    if (table === undefined) return;
    for (const name of this.#chains.keys()) this.#finish(table, name);
    this.#table = undefined;
  }
}
