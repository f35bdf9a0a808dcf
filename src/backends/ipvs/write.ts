/** Writes changes as netlink messages, in the order given. Each answer of the kernel is checked. */
import {
  deleteDestination,
  deleteService,
  type IpvsOperation,
  newDestination,
  newService,
  setDestination,
  setService,
} from '../../ipvs-netlink/ipvs.ts';
import type { RequestFailure } from '../../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { addEntry, createSet, deleteEntry, destroySet } from '../../netlink/ipset.ts';
import type { Request } from '../../netlink/message.ts';
import { deleteAddress, deleteLink, getLink, newAddress, newDummy } from '../../netlink/route.ts';
import { asKernelError, type KernelRefusal, refused as kernelError } from '../kernel-error.ts';
import { writeSysctl } from '../xtables/write-sysctl.ts';
import type { Draining } from './draining.ts';
import { type Handles, hasAddresses } from './handles.ts';
import type { PacketMarks } from './marks.ts';
import { DEVICE } from './names.ts';
import { noMarkLeft, numberChanges, releaseRemoved } from './numbering.ts';
import { type Address, formatObject, type NetlinkObject, type RealServer, type VirtualServer } from './objects.ts';
import type { MessageChange } from './plan.ts';
import { remakeSet } from './remake.ts';

interface RefusedObject {
  readonly object: NetlinkObject;
  readonly error: NetlinkError;
}

/** Writes objects. Throws KernelError, whose suspects are the refused objects. All others are written. */
export const writeMessages = async (
  handles: Handles,
  draining: Draining,
  changes: readonly MessageChange[],
): Promise<void> => {
  const refused: RefusedObject[] = [];
  for (const run of runs(changes)) refused.push(...(await attempt(handles, draining, run)));
  if (refused.length > 0) throw kernelError(refused.map(toRefusal));
};

/** Writes objects whose marks are names. Throws KernelError, also when no number is left for an object. */
export const writeNumbered = async (
  handles: Handles,
  draining: Draining,
  marks: PacketMarks,
  changes: readonly MessageChange[],
): Promise<void> => {
  const numbered = numberChanges(changes, marks);
  await writeMessages(handles, draining, numbered.changes);
  releaseRemoved(changes, marks);
  if (numbered.without.length > 0) throw noMarkLeft(marks, numbered.without);
};

/** Splits changes into runs of one kind that are all removals or all not. */
const runs = (changes: readonly MessageChange[]): readonly (readonly MessageChange[])[] => {
  const result: MessageChange[][] = [];
  let last: MessageChange | undefined;
  for (const change of changes) {
    const isSame = last?.object.kind === change.object.kind && (last.op === 'remove') === (change.op === 'remove');
    if (isSame) result.at(-1)?.push(change);
    else result.push([change]);
    last = change;
  }
  return result;
};

const attempt = async (
  handles: Handles,
  draining: Draining,
  run: readonly MessageChange[],
): Promise<readonly RefusedObject[]> => {
  try {
    return await writeRun(handles, draining, run);
  } catch (error) {
    throw asKernelError(error);
  }
};

const writeRun = async (
  handles: Handles,
  draining: Draining,
  run: readonly MessageChange[],
): Promise<readonly RefusedObject[]> => {
  const [first] = run;
  const isRemoval = first?.op === 'remove';
  const objects = run.map(({ object }) => object);
  switch (first?.object.kind) {
    case 'sysctl':
    case 'timeouts':
      if (!isRemoval) await writeSettings(handles, objects);
      return [];
    case 'device':
      return writeDevice(handles, objects, isRemoval);
    case 'address':
      return writeAddresses(handles, objects.filter(isA('address')), isRemoval);
    case 'set':
    case 'entry':
      return writeSets(handles, objects, isRemoval);
    case 'virtual-server':
      return writeVirtualServers(handles, objects.filter(isA('virtual-server')), isRemoval);
    case 'real-server':
      return writeRealServers(handles, draining, objects.filter(isA('real-server')), isRemoval);
    case undefined:
      return [];
  }
};

const isA =
  <K extends NetlinkObject['kind']>(kind: K) =>
  (object: NetlinkObject): object is Extract<NetlinkObject, { kind: K }> =>
    object.kind === kind;

const writeSettings = async ({ ipvs, sysctls }: Handles, objects: readonly NetlinkObject[]): Promise<void> => {
  for (const object of objects) {
    if (object.kind === 'sysctl') await writeSysctl(sysctls, object);
    if (object.kind === 'timeouts') ipvs.setTimeouts(object.seconds);
  }
};

/** Drops failures with an errno that says that the kernel already is as requested. */
const except = (
  objects: readonly NetlinkObject[],
  failures: readonly RequestFailure[],
  fine: readonly number[],
): readonly RefusedObject[] =>
  failures.flatMap(({ index, error }) => {
    const object = objects[index];
    return object === undefined || fine.includes(error.errno) ? [] : [{ object, error }];
  });

/** Adds or removes the link. Addresses that others added to the link keep it. */
const writeDevice = async (
  handles: Handles,
  objects: readonly NetlinkObject[],
  isRemoval: boolean,
): Promise<readonly RefusedObject[]> => {
  const { links } = handles;
  if (!isRemoval) return except(objects, links.execute([newDummy(DEVICE)]), [ERRNO.EEXIST]);
  const isInUse = (await hasAddresses(handles, 'IPv4')) || (await hasAddresses(handles, 'IPv6'));
  return isInUse ? [] : except(objects, links.execute([deleteLink(DEVICE)]), [ERRNO.ENODEV]);
};

const writeAddresses = (
  { links }: Handles,
  objects: readonly Address[],
  isRemoval: boolean,
): readonly RefusedObject[] => {
  const index = getLink(links, DEVICE)?.index;
  if (index === undefined) {
    const error = new NetlinkError(ERRNO.ENODEV, `link ${DEVICE} is gone`);
    return isRemoval ? [] : objects.map((object) => ({ object, error }));
  }
  const requests = objects.map(({ address }) =>
    isRemoval ? deleteAddress(index, address) : newAddress(index, address),
  );
  return except(objects, links.execute(requests), [isRemoval ? ERRNO.EADDRNOTAVAIL : ERRNO.EEXIST]);
};

const writeSets = (
  handles: Handles,
  objects: readonly NetlinkObject[],
  isRemoval: boolean,
): readonly RefusedObject[] => {
  const requests = objects.flatMap((object): Request[] => {
    if (object.kind === 'set') {
      const { definition } = object;
      return [isRemoval ? destroySet(definition.name) : createSet(definition, handles.revisionOf(definition))];
    }
    if (object.kind !== 'entry') return [];
    return [isRemoval ? deleteEntry(object.set, object.entry) : addEntry(object.set, object.entry)];
  });
  const failures = handles.sets.execute(requests).flatMap((failure): readonly RequestFailure[] => {
    const object = objects[failure.index];
    if (isRemoval || object?.kind !== 'set' || failure.error.errno !== ERRNO.EEXIST) return [failure];
    const error = remakeSet(handles, object.definition);
    return error === undefined ? [] : [{ ...failure, error }];
  });
  return except(objects, failures, isRemoval ? [ERRNO.ENOENT] : []);
};

/** Makes objects, and changes those that exist: the kernel may differ from what was read last. */
const makeOrChange = <O extends NetlinkObject>(
  { ipvs }: Handles,
  objects: readonly O[],
  make: (object: O) => IpvsOperation,
  change: (object: O) => IpvsOperation,
): readonly RefusedObject[] => {
  const failures = ipvs.execute(objects.map(make));
  const there = failures
    .filter(({ error }) => error.errno === ERRNO.EEXIST)
    .flatMap(({ index }) => objects[index] ?? []);
  return [...except(objects, failures, [ERRNO.EEXIST]), ...except(there, ipvs.execute(there.map(change)), [])];
};

const writeVirtualServers = (
  handles: Handles,
  objects: readonly VirtualServer[],
  isRemoval: boolean,
): readonly RefusedObject[] => {
  if (!isRemoval) {
    return makeOrChange(
      handles,
      objects,
      ({ key, settings }) => newService(key, settings),
      ({ key, settings }) => setService(key, settings),
    );
  }
  return except(objects, handles.ipvs.execute(objects.map(({ key }) => deleteService(key))), [ERRNO.ESRCH]);
};

const writeRealServers = (
  handles: Handles,
  draining: Draining,
  objects: readonly RealServer[],
  isRemoval: boolean,
): readonly RefusedObject[] => {
  if (!isRemoval) {
    return makeOrChange(
      handles,
      objects,
      ({ service, key, settings }) => newDestination(service, key, settings),
      ({ service, key, settings }) => setDestination(service, key, settings),
    );
  }
  const undrained = draining.drain(objects.filter(({ drains }) => drains));
  const rest = objects.filter(({ drains }) => !drains);
  const operations = rest.map(({ service, key }) => deleteDestination(service, key));
  return [...undrained, ...except(rest, handles.ipvs.execute(operations), [ERRNO.ENOENT, ERRNO.ESRCH])];
};

const toRefusal = ({ object, error }: RefusedObject): KernelRefusal => ({
  cause: error,
  message: `${formatObject(object)}: ${error.message}`,
  suspects: [object.id],
});
