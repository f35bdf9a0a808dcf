/**
 * The nftables backend: the engine's contract over nf_tables netlink. No program is run, and nothing grows with the number
 * of Services but elements of maps.
 */
import type { Backend } from '../../dataplane/contract.ts';
import { IP_FAMILIES, type IPFamily } from '../../model/address.ts';
import { base } from './base.ts';
import { compile } from './compile.ts';
import { Driver } from './driver.ts';
import { type Ends, openEnds } from './ends.ts';
import { nftFamily } from './names.ts';
import { formatObject, type NftObject } from './objects.ts';
import { madeByKubeProxy } from './origin.ts';
import { placesOfFrontend } from './places.ts';
import { type Payload, plan } from './plan.ts';
import { print, printJson } from './print.ts';
import { probe } from './probe.ts';

/** Some hundred Services: each group is one turn of the process. */
const GROUP_SIZE = 1_000;
/** How often one looks whether somebody else wrote to the table. */
const LOOK_MS = 100;

export interface NftablesOptions {
  readonly family: IPFamily;
  /** Undefined where nothing is ever read or written (a dump). */
  readonly ends?: Ends;
  /** A look neither asks the kernel what it can do nor takes away what is left of affinity. */
  readonly readOnly?: boolean | undefined;
  /** Each frontend's traffic is counted. */
  readonly counts?: boolean;
}

export interface NftablesBackend extends Backend<NftObject, Payload> {
  /** Ends when all clients of endpoints that left are forgotten, which nobody need wait for. */
  settled(): Promise<void>;
}

/** The backends of both families, over the kernel of this network namespace. Throws NetlinkError. */
export const nftablesBackends = ({
  warn,
  ...options
}: Pick<NftablesOptions, 'readOnly' | 'counts'> & { warn?: ((message: string) => void) | undefined } = {}): {
  readonly backends: ReadonlyMap<IPFamily, NftablesBackend>;
  close(): void;
} => {
  const ends = openEnds(warn);
  const all = IP_FAMILIES.map((family): NftablesOptions => ({ family, ends, ...options }));
  const online = new Map(all.map((one) => [one, new Online(one)]));
  return {
    backends: new Map([...online].map(([one, kernel]) => [one.family, backendOver(one, kernel)])),
    close: () => {
      for (const one of online.values()) one.close();
      ends.writer.close();
    },
  };
};

export const nftablesBackend = (options: NftablesOptions): NftablesBackend => backendOver(options, new Online(options));

const backendOver = ({ family, counts = false }: NftablesOptions, online: Online): NftablesBackend => {
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
    placesOf: placesOfFrontend,
    madeByOther: madeByKubeProxy,
    settled: async () => online.driver().settled(),
    apply: async ({ payload }) => online.driver().apply(payload.changes),
    ...(counts ? { traffic: async () => online.driver().traffic() } : {}),
    watch: (onChange) => watch(online.driver(), onChange),
  };
};

/** The kernel is asked once, when it is first needed, and nothing else is opened before it said that it can. */
class Online {
  readonly #options: NftablesOptions;
  #driver: Driver | undefined;

  constructor(options: NftablesOptions) {
    this.#options = options;
  }

  driver(): Driver {
    const { family, ends, readOnly = false, counts = false } = this.#options;
    if (ends === undefined) throw new Error('this backend was made for a dump, and has no kernel');
    if (this.#driver !== undefined) return this.#driver;
    if (!readOnly) probe(ends.writer, family, counts);
    this.#driver = new Driver(nftFamily(family), ends, { readOnly });
    return this.#driver;
  }

  close(): void {
    this.#driver?.close();
  }
}

const watch = (driver: Driver, onChange: () => void): { stop(): void } => {
  const timer = setInterval(() => {
    if (driver.hasChanged()) onChange();
  }, LOOK_MS);
  return { stop: () => clearInterval(timer) };
};
