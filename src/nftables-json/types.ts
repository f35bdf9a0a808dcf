/** Types of expressions and fields of declarations, without encoding. */
import type { Expression, KeyType, SetDeclaration, TypeName } from './schema.ts';

/** Type of an expression's value. Throws TypeError for one without. */
export const typesOf = (expression: Expression): readonly TypeName[] => {
  if (typeof expression === 'object') {
    if ('concat' in expression) return expression.concat.flatMap(typesOf);
    if ('payload' in expression) return [payloadType(expression.payload)];
    if ('numgen' in expression) return ['integer'];
    if ('meta' in expression && expression.meta.key !== 'iifname') {
      return [expression.meta.key === 'mark' ? 'mark' : 'inet_proto'];
    }
    if ('ct' in expression && expression.ct.key !== 'direction') return [conntrackType(expression.ct.key)];
  }
  throw new TypeError(`no type: ${JSON.stringify(expression)}`);
};

const payloadType = ({ protocol, field }: { readonly protocol: string; readonly field: string }): TypeName => {
  if (field === 'sport' || field === 'dport') return 'inet_service';
  return protocol === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
};

const conntrackType = (key: string): TypeName => {
  if (key === 'proto-dst') return 'inet_service';
  if (key.startsWith('ip ')) return 'ipv4_addr';
  if (key.startsWith('ip6 ')) return 'ipv6_addr';
  return 'mark';
};

/** Fields of a declared type. */
export const fieldsOf = (type: KeyType): readonly TypeName[] => {
  if (typeof type === 'string') return [type];
  return 'typeof' in type ? typesOf(type.typeof) : type;
};

/** Fields of a map's data; none for a set and for verdicts. */
export const dataFieldsOf = ({ map }: SetDeclaration): readonly TypeName[] =>
  map === undefined || map === 'verdict' ? [] : fieldsOf(map);

/** Header fields of this type, for `typeof` of a map's data: nft lists both sides by it or neither. */
export const dataTypeofOf = ({ type, map, family }: SetDeclaration): Expression | undefined => {
  if (typeof type !== 'object' || !('typeof' in type) || map === undefined || map === 'verdict') return undefined;
  const fields = typeof map === 'string' ? [map] : map;
  const protocol = family === 'ip6' ? 'ip6' : 'ip';
  const parts = fields.map((field): Expression => {
    if (field === 'inet_service') return { payload: { protocol: 'th', field: 'dport' } };
    if (field === 'mark') return { meta: { key: 'mark' } };
    return { payload: { protocol, field: 'daddr' } };
  });
  const [only] = parts;
  const expression: Expression = parts.length === 1 && only !== undefined ? only : { concat: parts };
  if (typesOf(expression).join() !== fields.join()) return undefined;
  return expression;
};
