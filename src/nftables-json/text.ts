/** Commands in nft's own language, as nft 1.0.6 and newer reads it (nft(8)). */
import { isReference, isVerdict } from './construct.ts';
import type {
  BitOperation,
  Chain,
  Command,
  Declaration,
  Element,
  ElementKey,
  Expression,
  KeyType,
  Match,
  SetDeclaration,
  Statement,
  Verdict,
} from './schema.ts';
import { dataTypeofOf } from './types.ts';

/** Command as one line, without a line feed. */
export const formatCommand = (command: Command): string => {
  if ('add' in command) return formatAdd(command.add);
  if ('delete' in command) return `delete ${formatName(command.delete)}`;
  return `flush ${formatName(command.flush)}`;
};

const formatAdd = (declaration: Declaration): string => {
  if ('chain' in declaration) return `add ${formatName(declaration)}${formatHook(declaration.chain)}`;
  if ('rule' in declaration) return `add ${formatName(declaration)} ${formatStatements(declaration.rule.expr)}`;
  if ('set' in declaration) return `add ${formatName(declaration)} { ${formatShape(declaration.set)} }`;
  if ('map' in declaration) return `add ${formatName(declaration)} { ${formatShape(declaration.map)} }`;
  return `add ${formatName(declaration)}`;
};

const formatName = (declaration: Declaration): string => {
  if ('table' in declaration) return `table ${declaration.table.family} ${declaration.table.name}`;
  if ('chain' in declaration) {
    const { family, table, name } = declaration.chain;
    return `chain ${family} ${table} ${name}`;
  }
  if ('rule' in declaration)
    return `rule ${declaration.rule.family} ${declaration.rule.table} ${declaration.rule.chain}`;
  if ('element' in declaration) {
    const { family, table, name, elem } = declaration.element;
    return `element ${family} ${table} ${name} { ${elem.map(formatElement).join(', ')} }`;
  }
  const [kind, { family, table, name }] =
    'set' in declaration ? (['set', declaration.set] as const) : (['map', declaration.map] as const);
  return `${kind} ${family} ${table} ${name}`;
};

/**
 * Declaration of a base chain: ` { type nat hook prerouting priority -100 ; policy accept ; }`; empty for a regular
 * chain.
 */
export const formatHook = ({ type, hook, prio, policy }: Chain): string =>
  hook === undefined ? '' : ` { type ${type} hook ${hook} priority ${prio} ; policy ${policy ?? 'accept'} ; }`;

/** Declaration of a set: `type ipv4_addr . inet_service : verdict ; flags interval ;`. */
export const formatShape = (set: SetDeclaration): string => {
  const { type, map, flags = [], size, timeout, stmt } = set;
  const data = dataTypeofOf(set);
  const target = map === undefined ? '' : ` : ${data === undefined ? formatType(map) : formatExpression(data)}`;
  return [
    `${isTypeof(type) ? 'typeof' : 'type'} ${formatType(type)}${target} ;`,
    ...(flags.length === 0 ? [] : [`flags ${[...flags].sort().join(',')} ;`]),
    ...(size === undefined ? [] : [`size ${size} ;`]),
    ...(timeout === undefined ? [] : [`timeout ${formatSeconds(timeout)} ;`]),
    ...(stmt === undefined ? [] : ['counter ;']),
  ].join(' ');
};

const MILLISECONDS = 1_000;

/** Duration in units without fractions, which nft does not read. */
const formatSeconds = (seconds: number): string => {
  const rest = Math.round(seconds * MILLISECONDS) % MILLISECONDS;
  return rest === 0 ? `${Math.round(seconds)}s` : `${Math.floor(seconds)}s${rest}ms`;
};

const isTypeof = (type: KeyType): type is { readonly typeof: Expression } =>
  typeof type === 'object' && 'typeof' in type;

const formatType = (type: KeyType | 'verdict'): string => {
  if (typeof type === 'string') return type;
  return 'typeof' in type ? formatExpression(type.typeof) : type.join(' . ');
};

export const formatStatements = (statements: readonly Statement[]): string => statements.map(formatStatement).join(' ');

export const formatStatement = (statement: Statement): string => {
  if ('match' in statement) return formatMatch(statement.match);
  if ('vmap' in statement) return `${formatExpression(statement.vmap.key)} vmap ${statement.vmap.data}`;
  if ('mangle' in statement) {
    return `${formatExpression(statement.mangle.key)} set ${formatExpression(statement.mangle.value)}`;
  }
  if ('dnat' in statement) return `dnat ${statement.dnat.family} to ${formatExpression(statement.dnat.addr)}`;
  if ('masquerade' in statement) {
    const flags = statement.masquerade?.flags;
    return flags === undefined ? 'masquerade' : `masquerade ${flags}`;
  }
  if ('reject' in statement) return 'reject';
  if ('map' in statement) {
    const { op, elem, data, map } = statement.map;
    return `${op} ${map} { ${formatExpression(elem)} : ${formatExpression(data)} }`;
  }
  return 'xt' in statement ? `xt ${statement.xt.name}` : formatVerdict(statement);
};

export const formatVerdict = (verdict: Verdict): string => {
  if ('jump' in verdict) return `jump ${verdict.jump.target}`;
  if ('goto' in verdict) return `goto ${verdict.goto.target}`;
  if ('drop' in verdict) return 'drop';
  return 'accept' in verdict ? 'accept' : 'return';
};

const formatMatch = ({ left, op, right }: Match['match']): string => {
  const isMasked = typeof left === 'object' && ('&' in left || '|' in left || '^' in left);
  const operator = op === '!=' || (op === '==' && isMasked) ? ` ${op}` : '';
  return `${formatExpression(left)}${operator} ${formatConstant(left, right)}`;
};

/** Right side of a comparison; interface names are quoted, as they may contain any character. */
const formatConstant = (left: Expression, right: Expression): string => {
  const isInterface = typeof left === 'object' && 'meta' in left && left.meta.key === 'iifname';
  return isInterface && !isReference(right) ? `"${String(right)}"` : formatExpression(right);
};

export const formatExpression = (expression: Expression): string => {
  if (typeof expression !== 'object') return String(expression);
  if ('concat' in expression) return expression.concat.map(formatExpression).join(' . ');
  if ('payload' in expression) return `${expression.payload.protocol} ${expression.payload.field}`;
  if ('meta' in expression) return expression.meta.key === 'iifname' ? 'iifname' : `meta ${expression.meta.key}`;
  if ('ct' in expression) {
    const { key, dir } = expression.ct;
    return dir === undefined ? `ct ${key}` : `ct ${dir} ${key}`;
  }
  if ('fib' in expression) return `fib ${expression.fib.flags.join(' . ')} ${expression.fib.result}`;
  if ('numgen' in expression) {
    const { mode, mod, offset } = expression.numgen;
    return `numgen ${mode} mod ${mod}${offset === 0 ? '' : ` offset ${offset}`}`;
  }
  if ('prefix' in expression) return `${expression.prefix.addr}/${expression.prefix.len}`;
  if ('map' in expression) return `${formatExpression(expression.map.key)} map ${expression.map.data}`;
  return 'elem' in expression ? formatElementKey(expression.elem) : formatBits(expression);
};

const formatBits = (operation: BitOperation): string => {
  const [operator, [left, right]] = Object.entries(operation)[0] as [string, readonly [Expression, number]];
  return `${formatExpression(left)} ${operator} 0x${right.toString(16)}`;
};

const formatElementKey = ({ val, timeout, expires, counter, comment }: ElementKey['elem']): string =>
  [
    formatExpression(val),
    ...(counter === undefined ? [] : [`counter packets ${counter.packets} bytes ${counter.bytes}`]),
    ...(timeout === undefined ? [] : [`timeout ${formatSeconds(timeout)}`]),
    ...(expires === undefined ? [] : [`expires ${formatSeconds(expires)}`]),
    ...(comment === undefined ? [] : [`comment "${comment}"`]),
  ].join(' ');

export const formatElement = (element: Element): string => {
  if (!Array.isArray(element)) return formatExpression(element as Expression);
  const [key, data] = element as readonly [Expression, Expression | Verdict];
  return `${formatExpression(key)} : ${formatData(data)}`;
};

export const formatData = (data: Expression | Verdict): string =>
  typeof data === 'object' && isVerdict(data) ? formatVerdict(data) : formatExpression(data as Expression);

/** Input of `nft -j -f`: every command, and the version of the schema. */
export const formatJson = (commands: readonly Command[]): string =>
  `${JSON.stringify({ nftables: [{ metainfo: { json_schema_version: 1 } }, ...commands.map(withDataTypeof)] })}\n`;

/** Command whose map data is declared by `typeof` when the key is, as in text: nft crashes listing a mixture. */
const withDataTypeof = (command: Command): object => {
  if (!('add' in command && 'map' in command.add)) return command;
  const { map } = command.add;
  const data = dataTypeofOf(map);
  return data === undefined ? command : { add: { map: { ...map, map: { typeof: data } } } };
};
