/** Programmed objects of an owner: its wishes, and which of them are in the kernel as far as the engine knows. For /rules. */
import type { Fragment, KernelObject } from './contract.ts';
import type { KernelState } from './state.ts';
import type { OwnerStatus } from './status.ts';

export interface ProgrammedObject {
  readonly id: string;
  readonly kind: string;
  /** In the tool's own language; undefined for an object of former wishes. */
  readonly wanted: string | undefined;
  /** Kernel objects that are there for it; without a text where one holds parts of other owners' wishes too. */
  readonly applied: readonly { readonly id: string; readonly text: string | undefined }[];
  /** All kernel objects are there as wanted. */
  readonly isApplied: boolean;
}

export interface Programmed {
  readonly status: OwnerStatus;
  readonly objects: readonly ProgrammedObject[];
}

interface Asked<O extends KernelObject> {
  readonly status: OwnerStatus;
  /** Its wishes, also where the kernel refused them. */
  readonly wanted: Fragment<O> | undefined;
}

interface Formatter<O> {
  format(object: O): string;
}

/** Costs the number of kernel objects. */
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
      // a frontend may need no kernel object
      .filter(({ isApplied, applied }) => applied.length > 0 || !isApplied),
  }));
};

interface Wish<O> {
  readonly id: string;
  readonly kind: string;
  readonly wanted: O | undefined;
  /** Granted, and not quarantined. */
  readonly isInForce: boolean;
}

/** Last good objects of a quarantined owner stay in the kernel and are listed too. */
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
