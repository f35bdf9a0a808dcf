/** Parses iptables-save output, line by line, to objects: chains of ours and the jumps to them. Pure. */
import { isOurs, TABLES, type TableName } from './names.ts';
import { chain, chainId, isOurJump, type Jump, jump, type XtablesChain } from './objects.ts';

const RULE = /^-A (\S+)(?: (.*))?$/;
/** Policies are listed of built-in chains only. */
const CHAIN = /^:(\S+) (\S+)/;
const NO_POLICY = '-';
const COUNTERS = /^\[\d+:\d+\] /;
/** Spaces are folded: the nfacct match of iptables 1.8.9 doubles them. */
const SPACES = / {2,}/g;

const isTable = (name: string): name is TableName => TABLES.some((table) => table === name);

export class SaveParser {
  readonly #objects = new Map<string, XtablesChain | Jump>();
  /** Rules of declared chains, of which more may follow. */
  #chains = new Map<string, string[]>();
  /** Chain of the last rule: a table lists its rules chain by chain. */
  #current = '';
  #builtIn = new Set<string>();
  #table: TableName | undefined;

  get objects(): ReadonlyMap<string, XtablesChain | Jump> {
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

  #declare(table: TableName, line: string): void {
    const [, name, policy] = CHAIN.exec(line) ?? [];
    if (name === undefined) return;
    if (policy !== NO_POLICY) this.#builtIn.add(name);
    else if (isOurs(table, name)) this.#chains.set(name, []);
  }

  #rule(table: TableName, line: string): void {
    const [, name, text = ''] = RULE.exec(line) ?? [];
    if (name === undefined) return;
    if (name !== this.#current) this.#finish(table, this.#current);
    this.#current = name;
    const rules = this.#chains.get(name);
    if (rules !== undefined) rules.push(text.includes('  ') ? text.replace(SPACES, ' ') : text);
    else if (this.#builtIn.has(name) && isOurJump(table, text)) this.#jump(table, name, text);
  }

  #jump(table: TableName, from: string, text: string): void {
    for (let copy = 0; ; copy += 1) {
      const object = jump(table, from, text, copy);
      if (this.#objects.has(object.id)) continue;
      this.#objects.set(object.id, object);
      return;
    }
  }

  /** Builds a chain when its last rule has been read: building all at the end of a table would block the event loop. */
  #finish(table: TableName, name: string): void {
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
