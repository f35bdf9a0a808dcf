/** What `nft -j list ruleset` prints, line by line, without what is another each time: handles, counts, order, slots. */

type Fields = Readonly<Record<string, unknown>>;

/** Which slot an endpoint has is nobody's matter, if only they are dense. */
const SLOTS = /endpoints$/;

const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, one]) =>
      name === 'handle' || name === 'packets' || name === 'bytes' ? [] : [[name, plain(one)]],
    ),
  );
};

const lineOf = (value: unknown): string => JSON.stringify(plain(value));

interface Concat {
  readonly concat: readonly unknown[];
}

const elementLines = (where: string, name: string, elem: readonly unknown[]): readonly string[] => {
  const slots = new Map<string, number[]>();
  const lines = elem.map((one) => {
    const [key, data] = Array.isArray(one) ? one : [one];
    if (!SLOTS.test(name) || data === undefined) return `element ${where} ${name} ${lineOf(one)}`;
    const fields = (key as Concat).concat;
    const frontend = JSON.stringify(fields.slice(0, -1));
    slots.set(frontend, [...(slots.get(frontend) ?? []), Number(fields.at(-1))]);
    return `element ${where} ${name} ${frontend} ${lineOf(data)}`;
  });
  const used = [...slots].map(
    ([frontend, numbers]) => `slots ${where} ${name} ${frontend} ${numbers.sort((a, b) => a - b)}`,
  );
  return [...lines, ...used];
};

type Listing = readonly Readonly<Record<string, Fields>>[];

const itemsOf = (json: string): Listing => (JSON.parse(json) as { readonly nftables: Listing }).nftables;

export type Rules = readonly { readonly chain: string; readonly handle: number; readonly text: string }[];

export const rulesWithHandles = (json: string): Rules =>
  itemsOf(json).flatMap(({ rule }) =>
    rule === undefined
      ? []
      : [{ chain: String(rule.chain), handle: Number(rule.handle), text: JSON.stringify(rule.expr) }],
  );

export const linesOfRuleset = (json: string): readonly string[] => {
  const rules = new Map<string, number>();
  const lines = itemsOf(json).flatMap((item): readonly string[] => {
    const [kind = '', fields = {}] = Object.entries(item)[0] ?? [];
    if (kind === 'metainfo') return [];
    const { family, table, name, chain, elem, ...rest } = fields;
    const where = `${family} ${table}`;
    if (kind === 'rule') {
      const place = `${where} ${chain}`;
      const position = rules.get(place) ?? 0;
      rules.set(place, position + 1);
      return [`rule ${place} ${position} ${lineOf(rest)}`];
    }
    return [
      `${kind} ${kind === 'table' ? family : where} ${name} ${lineOf(rest)}`,
      ...elementLines(where, String(name), Array.isArray(elem) ? elem : []),
    ];
  });
  return [...lines].sort();
};
