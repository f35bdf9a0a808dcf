/**
 * The nftables backend: the engine's contract over nf_tables netlink. No program is run. Only elements of sets and maps grow
 * with the number of Services.
 */
import type { Backend } from '../../dataplane/contract.ts';
import { IP_FAMILIES, type IPFamily } from '../../model/address.ts';
import { base } from './base.ts';
import { compile } from './compile.ts';
import { Driver } from './driver.ts';
import { type KernelSockets, openKernelSockets } from './kernel-sockets.ts';
import { nftFamily } from './names.ts';
import { formatObject, type NftObject } from './objects.ts';
import { madeByKubeProxy } from './origin.ts';
import { placesOfFrontend } from './places.ts';
import { type NftPayload, plan } from './plan.ts';
import { print, printJson } from './print.ts';
import { probe } from './probe.ts';

/** Objects of some hundred Services: the event loop runs between two groups. */
const GROUP_SIZE = 1_000;
/** Interval of polling for writes of other programs. */
const POLL_MS = 100;

export interface NftablesOptions {
  readonly family: IPFamily;
  /** Undefined for a dump, which reads and writes nothing. */
  readonly sockets?: KernelSockets;
  /** Neither probes the kernel nor deletes stale entries of the affinity map. */
  readonly readOnly?: boolean | undefined;
  /** Counts the traffic of each frontend. */
  readonly counts?: boolean;
}

export interface NftablesBackend extends Backend<NftObject, NftPayload> {
  /** Resolves when no client is remembered with an endpoint that left. */
  settled(): Promise<void>;
}

/** Opens the backends of both families in this network namespace. Throws NetlinkError. */
export const nftablesBackends = ({
  warn,
  ...options
}: Pick<NftablesOptions, 'readOnly' | 'counts'> & { warn?: ((message: string) => void) | undefined } = {}): {
  readonly backends: ReadonlyMap<IPFamily, NftablesBackend>;
  close(): void;
} => {
  const sockets = openKernelSockets(warn);
  const all = IP_FAMILIES.map((family): NftablesOptions => ({ family, sockets, ...options }));
  const online = new Map(all.map((one) => [one, new LazyDriver(one)]));
  return {
    backends: new Map([...online].map(([one, kernel]) => [one.family, backendOver(one, kernel)])),
    close: () => {
      for (const one of online.values()) one.close();
      sockets.writer.close();
    },
  };
};

export const nftablesBackend = (options: NftablesOptions): NftablesBackend =>
  backendOver(options, new LazyDriver(options));

const backendOver = ({ family, counts = false }: NftablesOptions, online: LazyDriver): NftablesBackend => {
  const nft = nftFamily(family);
  return {
    mode: 'nftables',
    groupSize: GROUP_SIZE,
    base: (node) => base(node, counts),
    compile: (service, node) => compile(service, node, counts),
    plan,
    format: (object) => formatObject(object, nft),
    print: (sections) => print(sections, nft),
    printJson: (sections) => printJson(sections, nft),
    check: () => void online.driver(),
    read: async () => online.driver().read(),
    addressPortsOf: placesOfFrontend,
    madeByOther: madeByKubeProxy,
    settled: async () => online.driver().settled(),
    apply: async ({ payload }) => online.driver().apply(payload.changes),
    ...(counts ? { traffic: async () => online.driver().traffic() } : {}),
    watch: (onChange) => watch(online.driver(), onChange),
  };
};

/** Driver made on first use, after one successful probe of the kernel. */
class LazyDriver {
  readonly #options: NftablesOptions;
  #driver: Driver | undefined;

  constructor(options: NftablesOptions) {
    this.#options = options;
  }

  driver(): Driver {
    const { family, sockets, readOnly = false, counts = false } = this.#options;
    if (sockets === undefined) throw new Error('this backend was made for a dump, and has no kernel');
    if (this.#driver !== undefined) return this.#driver;
    if (!readOnly) probe(sockets.writer, family, counts);
    this.#driver = new Driver(nftFamily(family), sockets, { readOnly });
    return this.#driver;
  }

  close(): void {
    this.#driver?.close();
  }
}

const watch = (driver: Driver, onChange: () => void): { stop(): void } => {
  const timer = setInterval(() => {
    if (driver.hasChanged()) onChange();
  }, POLL_MS);
  return { stop: () => clearInterval(timer) };
};
