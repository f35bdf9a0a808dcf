/**
 * iptables in memory: takes what `iptables-restore --noflush` takes, gives what `iptables-save` gives.
 *
 * Knows the operations that a proxy uses and refuses what the real tools refuse about them (a jump to a chain that is not
 * there, the end of a chain that is in use). Rules are text to it: whether a tool understands them is for the kernel
 * tests to find out. What it refuses is compared with the real tools there too.
 */

/** As the tools complain; the line is counted from 1. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

type Chains = Map<string, string[]>;

const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
};
const TARGETS = new Set(['ACCEPT', 'DROP', 'RETURN', 'REJECT', 'MARK', 'MASQUERADE', 'DNAT', 'SET']);
/** xtables' limits. */
const MAX_NAME = 28;
const MAX_COMMENT = 255;
const COMMENT = /--comment (?:"([^"]*)"|(\S+))/;

const targetOf = (rule: string): string | undefined => / -[jg] (\S+)/.exec(` ${rule.replace(COMMENT, '')}`)?.[1];

export class MemoryIptables {
  readonly #tables: Map<string, Chains>;
  /** Inputs taken, whole. */
  restores = 0;
  /** Kernel settings, by path. */
  readonly settings = new Map<string, string>();

  /** A host on which nobody has been yet, or one with what `foreign` writes there. */
  constructor(foreign = '') {
    const chainsOf = (names: readonly string[]): Chains => new Map(names.map((name) => [name, []]));
    this.#tables = new Map(Object.entries(BUILT_IN).map(([table, names]) => [table, chainsOf(names)]));
    if (foreign !== '') this.restore(foreign);
    this.restores = 0;
  }

  /** Table by table: what stands before a COMMIT is in force even if something later is refused. */
  restore(input: string): void {
    let table: string | undefined;
    let chains: Chains | undefined;
    for (const [i, line] of input.split('\n').entries()) {
      if (line === '' || line.startsWith('#')) continue;
      if (line.startsWith('*')) {
        table = line.slice(1);
        chains = copyOf(this.#tables.get(table) ?? refuse(`no table ${table}`, i + 1));
      } else if (table === undefined || chains === undefined) refuse('no table yet', i + 1);
      else if (line === 'COMMIT') {
        this.#tables.set(table, chains);
        table = undefined;
        chains = undefined;
      } else execute(chains, BUILT_IN[table] ?? [], line, i + 1);
    }
    if (table !== undefined) refuse('no COMMIT', input.split('\n').length);
    this.restores += 1;
  }

  save(): string {
    return [...this.#tables].map(([table, chains]) => saveTable(table, chains)).join('');
  }
}

const copyOf = (chains: Chains): Chains => new Map([...chains].map(([name, rules]) => [name, [...rules]]));

const refuse = (message: string, line: number): never => {
  throw new Refused(`line ${line}: ${message}`);
};

const saveTable = (table: string, chains: Chains): string => {
  const policy = (name: string): string => (BUILT_IN[table]?.includes(name) ? 'ACCEPT' : '-');
  const lines = [
    `*${table}`,
    ...[...chains.keys()].map((name) => `:${name} ${policy(name)} [0:0]`),
    ...[...chains].flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
};

const execute = (chains: Chains, builtIn: readonly string[], text: string, line: number): void => {
  const [, declared] = /^:(\S+) - \[\d+:\d+\]$/.exec(text) ?? [];
  if (declared !== undefined) {
    if (declared.length > MAX_NAME) refuse(`chain name ${declared} is too long`, line);
    chains.set(declared, []);
    return;
  }
  const [, operation, name = '', rule = ''] = /^-([AIDXN]) (\S+)(?: (.*))?$/.exec(text) ?? [];
  if (operation === 'N') {
    if (chains.has(name)) refuse(`chain ${name} exists already`, line);
    chains.set(name, []);
    return;
  }
  const rules = chains.get(name) ?? refuse(`no chain ${name}`, line);
  if (operation === 'A' || operation === 'I') {
    checkTarget(chains, rule, line);
    if (operation === 'A') rules.push(asListed(rule));
    else rules.unshift(asListed(rule));
  } else if (operation === 'D') {
    const at = rules.indexOf(rule);
    if (at === -1) refuse(`no such rule in ${name}`, line);
    rules.splice(at, 1);
  } else if (operation === 'X') {
    const isUsed = [...chains.values()].some((others) => others.some((other) => targetOf(other) === name));
    if (rules.length > 0 || isUsed || builtIn.includes(name)) refuse(`chain ${name} is in use`, line);
    chains.delete(name);
  } else refuse(`cannot be understood: ${text}`, line);
};

const checkTarget = (chains: Chains, rule: string, line: number): void => {
  const target = targetOf(rule);
  if (target !== undefined && !TARGETS.has(target) && !chains.has(target)) refuse(`no target ${target}`, line);
};

/** A long comment is cut without a word. */
const asListed = (rule: string): string =>
  rule.replace(COMMENT, (_, quoted: string | undefined, bare: string | undefined) =>
    quoted === undefined ? `--comment ${bare?.slice(0, MAX_COMMENT)}` : `--comment "${quoted.slice(0, MAX_COMMENT)}"`,
  );

/** Table and chain → rules, whatever the order of chains: what two listings must have in common to be equal. */
export const chainsIn = (saved: string): Readonly<Record<string, readonly string[]>> => {
  const chains: Record<string, string[]> = {};
  let table = '';
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, declared] = /^:(\S+) /.exec(line) ?? [];
    if (declared !== undefined) chains[`${table} ${declared}`] = [];
    const [, name, rule = ''] = /^-A (\S+)(?: (.*))?$/.exec(line) ?? [];
    if (name !== undefined) chains[`${table} ${name}`]?.push(rule);
  }
  return Object.fromEntries(Object.entries(chains).sort(([a], [b]) => (a < b ? -1 : 1)));
};
