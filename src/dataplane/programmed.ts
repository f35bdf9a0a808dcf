/** What is programmed for an owner: its wishes, and what of them is in the kernel as far as the engine knows. For people who ask. */
import type { Fragment, KernelObject } from './contract.ts';
import type { KernelState } from './state.ts';
import type { OwnerStatus } from './status.ts';

export interface ProgrammedObject {
  readonly id: string;
  readonly kind: string;
  /** In the tool's own language; undefined for what is there from before, and not wanted any more. */
  readonly wanted: string | undefined;
  /** The kernel objects that are there for it; without a text where other owners have their part in one. */
  readonly applied: readonly { readonly id: string; readonly text: string | undefined }[];
  /** All of it is there, as it is wanted. */
  readonly isApplied: boolean;
}

export interface Programmed {
  readonly status: OwnerStatus;
  readonly objects: readonly ProgrammedObject[];
}

interface Asked<O extends KernelObject> {
  readonly status: OwnerStatus;
  /** What it would have, also where that was refused. */
  readonly wanted: Fragment<O> | undefined;
}

interface Formatter<O> {
  format(object: O): string;
}

/** Costs what there are kernel objects. */
export const programmedOf = <O extends KernelObject>(
  state: KernelState<O>,
  backend: Formatter<O>,
  asked: readonly Asked<O>[],
): readonly Programmed[] => {
  const wishes = asked.map((one) => ({ status: one.status, wishes: wishesOf(state, one) }));
  const parts = state.partsOf(new Set(wishes.flatMap(({ wishes: own }) => own.map(({ id }) => id))));
  return wishes.map(({ status, wishes: own }) => ({
    status,
    objects: own
      .map((wish) => objectOf(state, backend, wish, parts.get(wish.id)))
      // a frontend may come down to nothing
      .filter(({ isApplied, applied }) => applied.length > 0 || !isApplied),
  }));
};

interface Wish<O> {
  readonly id: string;
  readonly kind: string;
  readonly wanted: O | undefined;
  /** It was granted, and not put off. */
  readonly isInForce: boolean;
}

/** Of one that is refused the last good objects stay: they are told too. */
const wishesOf = <O extends KernelObject>(
  { desired }: KernelState<O>,
  { status, wanted }: Asked<O>,
): readonly Wish<O>[] => {
  const byId = (objects: readonly O[] = []): ReadonlyMap<string, O> =>
    new Map(objects.map((object) => [object.id, object]));
  const [staged, wishes] = [byId(desired.fragment(status.owner)?.objects), byId(wanted?.objects)];
  const lost = new Set(desired.disputes(status.owner).flatMap(({ id, isGranted }) => (isGranted ? [] : [id])));
  return [...new Map([...staged, ...wishes])].map(([id, { kind }]) => {
    const wish = wishes.get(id);
    const isStaged = wish !== undefined && staged.get(id)?.content === wish.content;
    return { id, kind, wanted: wish, isInForce: isStaged && !lost.has(id) };
  });
};

const objectOf = <O extends KernelObject>(
  { have, want, isMixed }: KernelState<O>,
  backend: Formatter<O>,
  { id, kind, wanted, isInForce }: Wish<O>,
  parts: readonly string[] | undefined,
): ProgrammedObject => {
  const isShared = parts !== undefined && isMixed;
  const isThere = (part: string): boolean => have.has(part) && have.get(part)?.content === want.get(part)?.content;
  return {
    id,
    kind,
    wanted: wanted && backend.format(wanted),
    applied: (parts ?? [id])
      .flatMap((part) => have.get(part) ?? [])
      .map((object) => ({ id: object.id, text: isShared ? undefined : backend.format(object) })),
    isApplied: isInForce && (parts ?? [id].filter((own) => want.has(own))).every(isThere),
  };
};
