/** Reads the Prometheus text format, on its own terms, and finds fault with it as promtool does. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

const NUMBER = /^(NaN|[+-]?Inf|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;

const readLabels = (text: string): Readonly<Record<string, string>> => {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || value === undefined) throw new Error(`labels that are none: ${text}`);
    if (name in labels) throw new Error(`label ${name} twice: ${text}`);
    labels[name] = value;
  }
  return labels;
};

const readNumber = (text: string): number => {
  if (!NUMBER.test(text)) throw new Error(`no number: ${text}`);
  return Number(text.replace('Inf', 'Infinity'));
};

const readSample = (line: string): Sample => {
  const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`);
  return { name, labels: readLabels(labels), value: readNumber(value) };
};

const PARTS = ['', '_bucket', '_sum', '_count'];

/** Throws at what a Prometheus server would refuse. */
export const parseExposition = (text: string): ReadonlyMap<string, Family> => {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, { name: string; help: string; type: string; samples: Sample[] }>();
  let current: { name: string; help: string; type: string; samples: Sample[] } | undefined;
  for (const line of text.split('\n')) {
    const [, what, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (what === 'HELP') {
      if (families.has(name)) throw new Error(`${name} twice`);
      current = { name, help: rest, type: '', samples: [] };
      families.set(name, current);
    } else if (what === 'TYPE') {
      if (current?.name !== name || current.type !== '') throw new Error(`TYPE at the wrong place: ${line}`);
      current.type = rest;
    } else if (line !== '') {
      const sample = readSample(line);
      const suffixes = current?.type === 'histogram' || current?.type === 'summary' ? PARTS : [''];
      if (!suffixes.some((suffix) => sample.name === `${current?.name}${suffix}`)) {
        throw new Error(`${line} among ${current?.name}`);
      }
      current?.samples.push(sample);
    }
  }
  return families;
};

const idOf = ({ name, labels }: Sample): string =>
  `${name} ${JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))}`;

/** Each histogram's buckets grow to +Inf, which is its count. */
const histogramFaults = ({ name, samples }: Family): readonly string[] => {
  const byLabels = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _le, ...labels } = sample.labels;
    const id = JSON.stringify(labels);
    byLabels.set(id, [...(byLabels.get(id) ?? []), sample]);
  }
  return [...byLabels].flatMap(([id, own]) => {
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => readNumber(labels.le ?? 'none'));
    const counts = buckets.map(({ value }) => value);
    const grows = (numbers: readonly number[]): boolean =>
      numbers.every((n, i) => i === 0 || n >= (numbers[i - 1] ?? n));
    const total = own.find((sample) => sample.name === `${name}_count`)?.value;
    return [
      ...(bounds.at(-1) === Number.POSITIVE_INFINITY ? [] : [`${name}${id} has no bucket +Inf`]),
      ...(grows(bounds) && grows(counts) ? [] : [`${name}${id} has buckets that shrink`]),
      ...(total === counts.at(-1) ? [] : [`${name}${id} has a count other than its last bucket`]),
      ...(own.some((sample) => sample.name === `${name}_sum`) ? [] : [`${name}${id} has no sum`]),
    ];
  });
};

const UNITS = /_(milliseconds|ms|minutes|hours|kilobytes|kb|megabytes|percent)(_|$)/;

/** What promtool would say of it. */
export const faults = (families: ReadonlyMap<string, Family>): readonly string[] =>
  [...families.values()].flatMap((family) => {
    const { name, help, type, samples } = family;
    const ids = samples.map(idOf);
    return [
      ...(help.length > 0 ? [] : [`${name} has no help`]),
      ...(['counter', 'gauge', 'histogram', 'summary'].includes(type) ? [] : [`${name} has no type`]),
      ...(type !== 'counter' || name.endsWith('_total') ? [] : [`counter ${name} does not end in _total`]),
      ...(/^[a-z][a-z0-9_]*$/.test(name) ? [] : [`${name} is not in snake case`]),
      ...(UNITS.test(name) ? [`${name} is not in a base unit`] : []),
      ...(new Set(ids).size === ids.length ? [] : [`${name} has a series twice`]),
      ...(type === 'histogram' ? histogramFaults(family) : []),
    ];
  });
