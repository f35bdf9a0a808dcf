/** How a row is played: its states one after the other, what changes in between, and what a backend is held to. */
import type { IPFamily } from '../../src/model/address.ts';
import { type BackendName, DIFFERENCES, type Difference } from './differences.ts';
import type { Expected, Probe, Row } from './rows.ts';
import { type KubernetesObject, objectsOf, type ServiceSpec, type Variant } from './world.ts';

export interface State {
  /** Empty for the first one. */
  readonly name: string;
  readonly service: ServiceSpec | undefined;
  readonly rival: ServiceSpec | undefined;
  readonly probes: readonly Probe[];
}

export const statesOf = (row: Row): readonly State[] => {
  const states: State[] = [{ name: '', service: row.service, rival: row.rival, probes: row.probes }];
  for (const { name, probes, ...change } of row.steps ?? []) {
    const before = states.at(-1);
    const after = (is: ServiceSpec | 'deleted' | undefined, was: ServiceSpec | undefined): ServiceSpec | undefined =>
      is === 'deleted' ? undefined : (is ?? was);
    states.push({
      name,
      probes,
      service: after(change.service, before?.service),
      rival: after(change.rival, before?.rival),
    });
  }
  return states;
};

export const objectsIn = (
  { service, rival }: Pick<State, 'service' | 'rival'>,
  name: string,
  variant: Variant,
): readonly KubernetesObject[] => [
  ...(service === undefined ? [] : objectsOf(name, service, variant)),
  ...(rival === undefined ? [] : objectsOf(`${name}-rival`, rival, variant)),
];

export interface ObjectChanges {
  readonly put: readonly KubernetesObject[];
  readonly deleted: readonly KubernetesObject[];
}

const keyOf = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.namespace}/${metadata.name}`;

export const changesBetween = (
  before: readonly KubernetesObject[],
  after: readonly KubernetesObject[],
): ObjectChanges => {
  const known = new Map(before.map((object) => [keyOf(object), JSON.stringify(object)]));
  const wanted = new Set(after.map(keyOf));
  return {
    put: after.filter((object) => known.get(keyOf(object)) !== JSON.stringify(object)),
    deleted: before.filter((object) => !wanted.has(keyOf(object))),
  };
};

const holds = (
  { backends, family, rows }: Difference,
  row: Row,
  step: number,
  backend: BackendName,
  ofFamily: IPFamily,
): boolean =>
  backends.includes(backend) && (family ?? ofFamily) === ofFamily && rows[row.name]?.includes(step) === true;

/** A state's probes as this backend is to answer them. */
export const probesFor = (row: Row, step: number, backend: BackendName, family: IPFamily): readonly Probe[] => {
  const differences = DIFFERENCES.filter((difference) => holds(difference, row, step, backend, family));
  const expected = ({ from, to, expect }: Probe): Expected =>
    differences.find((one) => (one.from ?? from) === from && one.to.includes(to) && one.insteadOf === expect)?.expect ??
    expect;
  return (statesOf(row)[step]?.probes ?? []).map((probe) => ({ ...probe, expect: expected(probe) }));
};

const differing = (row: Row, steps: readonly number[], backend: BackendName, family: IPFamily): string => {
  const found = DIFFERENCES.filter((difference) => steps.some((step) => holds(difference, row, step, backend, family)));
  return found.map(({ reason }) => ` [differs: ${reason}]`).join('');
};

/** What a test of one state is called. */
export const titleOf = (row: Row, step: number, backend: BackendName, family: IPFamily): string => {
  const state = statesOf(row)[step]?.name ?? '';
  return `${row.name}${state === '' ? '' : `, then ${state}`}${differing(row, [step], backend, family)}`;
};

/** What a test of all states is called. */
export const rowTitleOf = (row: Row, backend: BackendName, family: IPFamily): string => {
  const steps = [...statesOf(row).keys()];
  return `${row.name}${steps.length > 1 ? `, in ${steps.length} states` : ''}${differing(row, steps, backend, family)}`;
};

/** How many probes a row is, in all its states. */
export const probesIn = (rows: readonly Row[]): number =>
  rows.flatMap(statesOf).reduce((sum, { probes }) => sum + probes.length, 0);
