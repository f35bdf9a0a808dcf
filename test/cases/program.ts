/** One life of the program over given backends, without its loop and sources: objects in, synced kernels out. */
import { Command } from 'commander';
import { profileOf } from '../../src/backends/index.ts';
import { normalizeArgv } from '../../src/config/argv.ts';
import { addFlags, readFlags } from '../../src/config/flags.ts';
import { loadConfig } from '../../src/config/load.ts';
import { nodeOptions } from '../../src/config/node-options.ts';
import { type Backend, KernelError, type KernelObject } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import type { Work } from '../../src/model/family-work.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import type { NodeOptions } from '../../src/model/node.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { resourcesFor } from '../../src/sources/resources.ts';
import { ADDRESSES, CLUSTER_CIDRS, NODE_OBJECT, POD_GATEWAY } from '../conformance/world.ts';
import type { KubernetesObject, Page, Step } from './page.ts';

export type Backends<O extends KernelObject, B> = Readonly<Record<IPFamily, Backend<O, B>>>;

const NODE = 'node1';
/** What node1 has: its own addresses and its end of the pod network. */
export const INTERFACES = IP_FAMILIES.flatMap((family) => [ADDRESSES.node1[family], POD_GATEWAY[family]]);
const MOST_TRIES = 30;
const THIS_NODE: KubernetesObject = { ...NODE_OBJECT, kind: 'Node', metadata: { ...NODE_OBJECT.metadata, name: NODE } };

/** The node as the page's flags make it. */
export const optionsOf = async (flags: Page['flags']): Promise<NodeOptions> => {
  const command = new Command();
  addFlags(command);
  const argv = Object.entries({ 'cluster-cidr': CLUSTER_CIDRS, ...flags }).map(([name, value]) => `--${name}=${value}`);
  command.parse([...normalizeArgv(argv)], { from: 'user' });
  return nodeOptions((await loadConfig({ flags: readFlags(command), profileOf })).config, NODE);
};

/** What an API server has. A step changes it; whoever starts later sees all of it. */
export class Cluster {
  readonly #objects = new Map<string, KubernetesObject>([[keyOf(THIS_NODE), THIS_NODE]]);

  change(step: Step): void {
    for (const object of step.put) this.#objects.set(keyOf(object), object);
    for (const object of step.delete) {
      if (!this.#objects.delete(keyOf(object))) throw new Error(`there is no ${keyOf(object)} to delete`);
    }
  }

  list(kind: ObjectKind): readonly KubernetesObject[] {
    return [...this.#objects.values()].filter((object) => object.kind === kind && isOurBusiness(object));
  }
}

const keyOf = ({ kind, metadata }: KubernetesObject): string =>
  [kind, metadata.namespace, metadata.name].filter((part) => part !== undefined).join(' ');

const isOurBusiness = (object: KubernetesObject): boolean =>
  resourcesFor(NODE).some(({ kind, selects }) => kind === object.kind && selects(object));

export const trackerOf = (options: NodeOptions, cluster: Cluster): Tracker => {
  const tracker = new Tracker({ node: options, interfaceAddresses: () => INTERFACES });
  for (const kind of OBJECT_KINDS) tracker.replace(kind, cluster.list(kind));
  return tracker;
};

export class Program<O extends KernelObject, B> {
  readonly tracker: Tracker;
  readonly reconcilers: Readonly<Record<IPFamily, Reconciler<O, B>>>;
  readonly #lastNode = new Map<IPFamily, Work['node']>();

  constructor(options: NodeOptions, backends: Backends<O, B>, cluster: Cluster) {
    this.tracker = trackerOf(options, cluster);
    // an hour goes by whenever somebody looks: nothing has to be waited for
    let hours = 0;
    const clock = (): number => {
      hours += 1;
      return hours * 3_600_000;
    };
    const { signal } = new AbortController();
    const engine = (family: IPFamily): Reconciler<O, B> => new Reconciler(backends[family], { signal, clock });
    this.reconcilers = { IPv4: engine('IPv4'), IPv6: engine('IPv6') };
  }

  /** The events of a step, as a source would tell them. */
  tell(step: Step): void {
    for (const object of step.put) {
      if (isOurBusiness(object)) this.tracker.put(object.kind, object);
      else this.tracker.remove(object.kind, object);
    }
    for (const object of step.delete) this.tracker.remove(object.kind, object);
  }

  /** Brings both kernels up to date, and tries again as long as that fails. */
  async sync(): Promise<void> {
    for (const family of IP_FAMILIES) await this.syncFamily(family);
  }

  /** The same for one family. */
  async syncFamily(family: IPFamily): Promise<void> {
    const reconciler = this.reconcilers[family];
    const node = this.#lastNode.get(family);
    let input = this.tracker.hasWork(family) || node === undefined ? this.tracker.take(family) : retry(node);
    this.#lastNode.set(family, input.node);
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      try {
        await reconciler.sync(input);
        if (reconciler.nextRetryMs === undefined) return;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
      }
      input = retry(input.node);
    }
    throw new Error(`${family} does not settle: ${JSON.stringify(reconciler.statuses())}`);
  }

  /** Looks at both kernels and repairs what is not as it was left; gives the ids of what was not. */
  async audit(): Promise<readonly string[]> {
    const drifts = [await this.reconcilers.IPv4.audit(), await this.reconcilers.IPv6.audit()];
    return drifts.flatMap(({ missing, changed, foreign }) => [...missing, ...changed, ...foreign]);
  }
}

const retry = (node: Work['node']): Work => ({ node, nodeChanged: false, services: [], gone: [] });
