/**
 * The conformance table in the packet walkers: a row's Services go step by step through the engine into a kernel in memory,
 * and packets are walked through what is there.
 */
import { Command } from 'commander';
import { expect } from 'vitest';
import { profileOf } from '../../src/backends/index.ts';
import { normalizeArgv } from '../../src/config/argv.ts';
import { addFlags, readFlags } from '../../src/config/flags.ts';
import { loadConfig } from '../../src/config/load.ts';
import { nodeOptions } from '../../src/config/node-options.ts';
import type { Backend, Change, KernelObject } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import type { NodeOptions } from '../../src/model/node.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { resourcesFor } from '../../src/sources/resources.ts';
import type { BackendName } from './differences.ts';
import { changesBetween, objectsIn, probesFor, statesOf, titleOf } from './play.ts';
import type { Expected, Flags, Probe, Row } from './rows.ts';
import { DEFAULT_FLAGS } from './table.ts';
import {
  ADDRESSES,
  destinationOf,
  type KubernetesObject,
  nodeIn,
  POD_GATEWAY,
  protocolTo,
  TARGET_PORT,
  type Variant,
} from './world.ts';

/** The first of its connection. */
interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  readonly inInterface: string | undefined;
}

/** Where a packet may end: `10.1.1.1:80`, `10.1.1.1:80 +m`, `reject`, `drop`. */
type Walk = (packet: Packet) => readonly string[];

export interface WalkedBackend<O extends KernelObject, B> {
  readonly name: BackendName;
  readonly backend: Backend<O, B>;
  /** Besides those of the row. */
  readonly flags: Flags;
  walkThrough(objects: readonly O[], localAddresses: readonly string[]): Walk;
}

const SELECTED = new Map(resourcesFor('node1').map(({ kind, selects }) => [kind, selects]));
const KINDS = ['Service', 'EndpointSlice'] as const;

const known = new Map<string, Promise<NodeOptions>>();

const optionsOf = (flags: Flags): Promise<NodeOptions> => {
  const key = JSON.stringify(flags);
  const options = known.get(key) ?? readOptions(flags);
  known.set(key, options);
  return options;
};

const readOptions = async (flags: Flags): Promise<NodeOptions> => {
  const command = new Command();
  addFlags(command);
  const argv = Object.entries({ ...DEFAULT_FLAGS, ...flags }).map(([name, value]) => `--${name}=${value}`);
  command.parse([...normalizeArgv(argv)], { from: 'user' });
  return nodeOptions((await loadConfig({ flags: readFlags(command), profileOf })).config, 'node1');
};

/** A kernel in memory that takes the changes themselves. */
const memoryOf = <O extends KernelObject, B>(
  backend: Backend<O, B>,
): { readonly backend: Backend<O, readonly Change<O>[]>; readonly kernel: Map<string, O> } => {
  const kernel = new Map<string, O>();
  const { mode, groupSize } = backend;
  const memory: Backend<O, readonly Change<O>[]> = {
    mode,
    groupSize,
    base: (node) => backend.base(node),
    compile: (service, node) => backend.compile(service, node),
    ...(backend.arranger === undefined ? {} : { arranger: () => backend.arranger?.() ?? never() }),
    format: (object) => backend.format(object),
    print: (sections) => backend.print(sections),
    plan: (changes) => [{ payload: changes, ids: changes.map(({ object }) => object.id) }],
    read: async () => new Map(kernel),
    apply: async ({ payload }) => {
      for (const { op, object } of payload) {
        if (op === 'remove') kernel.delete(object.id);
        else kernel.set(object.id, object);
      }
    },
  };
  return { backend: memory, kernel };
};

const never = (): never => {
  throw new Error('the backend has lost its arranger');
};

/** Objects that are selected are there; others are not, or no longer: as in a watch. */
const deliver = (tracker: Tracker, before: readonly KubernetesObject[], after: readonly KubernetesObject[]): void => {
  const selected = (objects: readonly KubernetesObject[]): readonly KubernetesObject[] =>
    objects.filter((object) => KINDS.some((kind) => kind === object.kind && SELECTED.get(kind)?.(object) === true));
  const { put, deleted } = changesBetween(selected(before), selected(after));
  for (const kind of KINDS) {
    for (const object of put) if (object.kind === kind) tracker.put(kind, object);
    for (const object of deleted) if (object.kind === kind) tracker.remove(kind, object);
  }
};

/** Plays a row: after each of its steps all probes go where they should. */
export const walkRow = async <O extends KernelObject, B>(
  { name, backend, flags, walkThrough }: WalkedBackend<O, B>,
  row: Row,
  variant: Variant,
): Promise<number> => {
  const { family } = variant;
  const local = [ADDRESSES.node1[family], POD_GATEWAY[family]];
  const node = await optionsOf({ ...flags, ...row.flags });
  const tracker = new Tracker({ node, interfaceAddresses: () => local });
  tracker.replace('Node', [nodeIn(row.zone === 'none' ? undefined : 'za')]);
  for (const kind of ['ServiceCIDR', ...KINDS] as const) tracker.replace(kind, []);
  const memory = memoryOf(backend);
  const reconciler = new Reconciler(memory.backend, { signal: new AbortController().signal });
  let before: readonly KubernetesObject[] = [];
  let walked = 0;
  for (const [step, state] of statesOf(row).entries()) {
    const after = objectsIn(state, 'row', variant);
    deliver(tracker, before, after);
    before = after;
    expect(tracker.problems).toEqual([]);
    await reconciler.sync(tracker.take(family));
    const walk = walkThrough([...memory.kernel.values()], local);
    for (const probe of probesFor(row, step, name, family)) {
      const what = `${titleOf(row, step, name, family)}: ${probe.from} to ${probe.to}`;
      expect(inAndOut(walk, packetOf(probe, variant), local), what).toEqual(outcomesOf(probe, variant));
      walked += 1;
    }
  }
  return walked;
};

/** What the node sends to itself and nobody has taken on its way out comes in again. */
const inAndOut = (walk: Walk, packet: Packet, local: readonly string[]): readonly string[] => {
  const { destination, port, inInterface } = packet;
  const here = text(destination, port);
  const out = walk(packet);
  if (inInterface !== undefined || !local.includes(destination) || !out.includes(here)) return out;
  return [...new Set([...out.filter((outcome) => outcome !== here), ...walk({ ...packet, inInterface: 'lo' })])].sort();
};

const interfaceOf = (from: Probe['from']): string | undefined =>
  from === 'node1' ? undefined : from.startsWith('pod') ? 'cni0' : 'eth0';

const packetOf = ({ from, to }: Probe, variant: Variant): Packet => {
  const { host, port } = destinationOf(to, variant);
  return {
    source: to === 'node-port at loopback' ? host : ADDRESSES[from][variant.family],
    destination: host,
    protocol: protocolTo(to, variant).toLowerCase() as Packet['protocol'],
    port,
    inInterface: interfaceOf(from),
  };
};

const text = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

const outcomesOf = ({ expect: wanted, to }: Probe, variant: Variant): readonly string[] => {
  if (wanted === 'untouched') {
    const { host, port } = destinationOf(to, variant);
    return [text(host, port)];
  }
  if (typeof wanted === 'string') return [wanted === 'refused' ? 'reject' : 'drop'];
  return reachedIn(wanted)
    .map((reached) => {
      const [server = '', masqueraded] = reached.split('+');
      const [pod = '', port = TARGET_PORT] = server.split(':');
      const ip = ADDRESSES[pod as keyof typeof ADDRESSES][variant.family];
      return text(ip, Number(port)) + (masqueraded === undefined ? '' : ' +m');
    })
    .sort();
};

/** A walker follows every way at once, and remembers nobody. */
const reachedIn = (wanted: Exclude<Expected, string>): readonly string[] =>
  'sticksTo' in wanted ? wanted.sticksTo : wanted;
