/** Programmed objects of an owner for /rules: its wishes, and which of them are in the kernel as far as the engine knows. */
import type { Backend, Fragment, KernelObject } from './contract.ts';
import type { KernelState } from './state.ts';
import type { OwnerStatus } from './status.ts';

export interface ProgrammedObject {
  readonly id: string;
  readonly kind: string;
  /** In the tool's own language; undefined for an object of former wishes. */
  readonly wanted: string | undefined;
  /** Kernel objects that serve the wish; `text` is undefined where they may hold parts of other owners' wishes. */
  readonly applied: readonly { readonly id: string; readonly text: string | undefined }[];
  /** True when all kernel objects are there as wanted. */
  readonly isApplied: boolean;
}

export interface Programmed {
  readonly status: OwnerStatus;
  readonly objects: readonly ProgrammedObject[];
}

interface RequestedOwner<O extends KernelObject> {
  readonly status: OwnerStatus;
  /** The owner's wishes, also where the kernel refused them. */
  readonly wanted: Fragment<O> | undefined;
}

type Formatter<O extends KernelObject> = Pick<Backend<O, unknown>, 'format'>;

/** Programmed objects of these owners. Costs the number of kernel objects. */
export const programmedOf = <O extends KernelObject>(
  state: KernelState<O>,
  backend: Formatter<O>,
  asked: readonly RequestedOwner<O>[],
): readonly Programmed[] => {
  const wishes = asked.map((one) => ({ status: one.status, wishes: wishesOf(state, one) }));
  const parts = state.partsOf(new Set(wishes.flatMap(({ wishes: own }) => own.map(({ id }) => id))));
  return wishes.map(({ status, wishes: own }) => ({
    status,
    objects: own
      .map((wish) => objectOf(state, backend, wish, parts.get(wish.id)))
      // a wish may need no kernel object
      .filter(({ isApplied, applied }) => applied.length > 0 || !isApplied),
  }));
};

interface OwnerWish<O> {
  readonly id: string;
  readonly kind: string;
  readonly wanted: O | undefined;
  /** Granted, and not quarantined. */
  readonly isInForce: boolean;
}

/** Wishes of an owner; the last good objects of a quarantined one stay in the kernel and are listed too. */
const wishesOf = <O extends KernelObject>(
  { desired }: KernelState<O>,
  { status, wanted }: RequestedOwner<O>,
): readonly OwnerWish<O>[] => {
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
  { id, kind, wanted, isInForce }: OwnerWish<O>,
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
