/** Differences between the kernel and the wanted objects, for people and for machines. Pure. */
import type { Backend, Change, KernelObject } from '../dataplane/contract.ts';
import { diff } from '../dataplane/desired.ts';
import { compareOwners, headingOf } from '../dataplane/report.ts';
import type { KernelState } from '../dataplane/state.ts';
import { compareText } from '../model/order.ts';

/** Objects that would be added, replaced or removed, under whose they are. */
export interface Difference {
  /** Undefined for what nobody wants. */
  readonly owner: string | undefined;
  /** `leave`: it goes by itself, and is no difference. */
  readonly op: Change<KernelObject>['op'] | 'leave';
  readonly kind: string;
  readonly id: string;
  /** In the tool's own language; undefined where there is none. */
  readonly found: string | undefined;
  readonly wanted: string | undefined;
}

type Formatter = Pick<Backend<KernelObject, unknown>, 'format'>;

/** Whether the kernel is otherwise than wanted. */
export const isDifference = ({ op }: Difference): boolean => op !== 'leave';

/** By owner, and within one by id; what nobody wants comes last. */
export const differencesOf = (
  backend: Formatter,
  state: KernelState<KernelObject>,
  found: ReadonlyMap<string, KernelObject>,
): readonly Difference[] => {
  const differences = diff(found, state.want).map((change): Difference => {
    const { op, object } = change;
    const owner = op === 'remove' ? undefined : headingOf(state, object.id);
    const leaves = op === 'remove' && object.leaves === true;
    return { owner, op: leaves ? 'leave' : op, kind: object.kind, id: object.id, ...textsOf(change, backend) };
  });
  const sorted = (some: readonly Difference[]): readonly Difference[] =>
    [...some].sort((a, b) => compareOwners(a.owner ?? '', b.owner ?? '') || compareText(a.id, b.id));
  const isWanted = ({ owner }: Difference): boolean => owner !== undefined;
  return [...sorted(differences.filter(isWanted)), ...sorted(differences.filter((one) => !isWanted(one)))];
};

const textsOf = (change: Change<KernelObject>, backend: Formatter): Pick<Difference, 'found' | 'wanted'> => {
  const { op, object } = change;
  if (op === 'add') return { found: undefined, wanted: backend.format(object) };
  if (op === 'remove') return { found: backend.format(object), wanted: undefined };
  const [found, wanted] = [backend.format(change.previous), backend.format(object)];
  // the tool's language may have no word for what differs
  return found === wanted ? { found: change.previous.content, wanted: object.content } : { found, wanted };
};

const SIGNS = { add: '+', replace: '~', remove: '-', leave: ' ' } as const;

/** One block an owner: `+`, `-` or `~` and the object's id, then its lines; of a replaced one those that differ. */
export const differencesText = (heading: string, all: readonly Difference[]): string => {
  const differences = all.filter(isDifference);
  const leaving = leavingText(all.filter((one) => !isDifference(one)));
  if (differences.length === 0) return `# ${heading}: no difference\n${leaving}`;
  const lines = [`# ${heading}: ${differences.length} ${differences.length === 1 ? 'difference' : 'differences'}`];
  let block: string | undefined = '';
  for (const difference of differences) {
    if (difference.owner !== block) lines.push(`# ${printable(difference.owner ?? 'wanted by nobody')}`);
    block = difference.owner;
    lines.push(`${SIGNS[difference.op]} ${printable(difference.id)}`, ...linesOf(difference));
  }
  return `${lines.join('\n')}\n${leaving}`;
};

const leavingText = (leaving: readonly Difference[]): string =>
  leaving.length === 0
    ? ''
    : ['# draining, until their connections end', ...leaving.map(({ id }) => `  ${printable(id)}`), ''].join('\n');

const printable = (text: string): string => text.replace(/[^ -~]/g, '?');

const linesOf = ({ found, wanted }: Difference): readonly string[] => {
  const [before, after] = [split(found), split(wanted)];
  const [gone, come] = [without(before, after), without(after, before)];
  // where the order alone differs, all of it is told
  const isOrder = gone.length + come.length === 0;
  const same = isOrder ? 0 : before.length - gone.length;
  return [
    ...(isOrder ? before : gone).map((line) => `-   ${line}`),
    ...(isOrder ? after : come).map((line) => `+   ${line}`),
    ...(same === 0 ? [] : [`    (${same} ${same === 1 ? 'line' : 'lines'} as wanted)`]),
  ];
};

const split = (text: string | undefined): readonly string[] =>
  text === undefined || text === '' ? [] : text.split('\n').map(printable);

/** Lines of the first that the second has not, each as often as it is missing. */
const without = (lines: readonly string[], others: readonly string[]): readonly string[] => {
  const counts = new Map<string, number>();
  for (const line of others) counts.set(line, (counts.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const left = counts.get(line) ?? 0;
    counts.set(line, left - 1);
    return left <= 0;
  });
};
