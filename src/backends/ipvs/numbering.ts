/** Replaces names of marks by numbers in objects that are written to the kernel or printed. */
import { KernelError } from '../../dataplane/contract.ts';
import type { ServiceKey } from '../../ipvs-netlink/types.ts';
import { isMarkKey, type PacketMarks } from './marks.ts';
import { isMarkRecord, type NetlinkObject } from './objects.ts';
import type { MessageChange } from './plan.ts';

/** Name of the mark that a server is selected by or an entry carries. */
const markOf = (object: NetlinkObject): string | undefined => {
  switch (object.kind) {
    case 'entry':
      return object.mark;
    case 'virtual-server':
      return isMarkKey(object.key) ? object.key.mark : undefined;
    case 'real-server':
      return isMarkKey(object.service) ? object.service.mark : undefined;
    default:
      return undefined;
  }
};

const withNumber = (
  object: NetlinkObject,
  number: number,
  { mask, masqueradeMark }: PacketMarks['settings'],
): NetlinkObject => {
  const keyed = (key: ServiceKey): ServiceKey =>
    isMarkKey(key) ? { ...key, fwmark: key.isOwn ? (number | masqueradeMark) >>> 0 : number } : key;
  switch (object.kind) {
    case 'entry':
      return { ...object, entry: { ...object.entry, mark: { value: number, mask } } };
    case 'virtual-server':
      return { ...object, key: keyed(object.key) };
    case 'real-server':
      return { ...object, service: keyed(object.service) };
    default:
      return object;
  }
};

/** Returns the object with its mark's number. Undefined: no number is left. */
export const numbered = (object: NetlinkObject, marks: PacketMarks): NetlinkObject | undefined => {
  const mark = markOf(object);
  if (mark === undefined) return object;
  const number = marks.numberOf(mark);
  return number === undefined ? undefined : withNumber(object, number, marks.settings);
};

export interface Numbered {
  readonly changes: readonly MessageChange[];
  /** Ids of objects without a number. */
  readonly without: readonly string[];
}

/** Numbers the objects of changes. Removals of objects without a number are left out: they are not in the kernel. */
export const numberChanges = (changes: readonly MessageChange[], marks: PacketMarks): Numbered => {
  const ready: MessageChange[] = [];
  const without: string[] = [];
  for (const change of changes) {
    const mark = markOf(change.object);
    if (change.op === 'remove' && mark !== undefined && marks.known(mark) === undefined) continue;
    const object = numbered(change.object, marks);
    if (object === undefined) without.push(change.object.id);
    else ready.push({ ...change, object });
  }
  return { changes: ready, without };
};

/** Frees the numbers whose records these changes removed. The record of a number is removed after everything that uses it. */
export const releaseRemoved = (changes: readonly MessageChange[], marks: PacketMarks): void => {
  for (const { op, object } of changes) {
    if (op === 'remove' && object.kind === 'entry' && object.mark !== undefined && isMarkRecord(object)) {
      marks.release(object.mark);
    }
  }
};

export const noMarkLeft = ({ size, settings }: PacketMarks, ids: readonly string[]): KernelError =>
  new KernelError(
    'content',
    `no packet mark is left in --ipvs-mark-mask=0x${settings.mask.toString(16)}: ${size} service ports with ` +
      'externalTrafficPolicy Local have one each',
    ids,
  );
