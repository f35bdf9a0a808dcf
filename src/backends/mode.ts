/** A mode as the commands open it: `mode.ts` in the backend's folder is one. */
import type { Backend, Departing, KernelObject } from '../dataplane/contract.ts';
import type { IptablesVariant } from '../kernel/iptables.ts';
import type { IPFamily } from '../model/address.ts';

export type AnyBackend = Backend<KernelObject, unknown>;

/** Fields of the configuration that backends read; each mode takes its own. */
export interface BackendConfig {
  readonly iptables: { readonly masqueradeBit: number };
  readonly ipvs: {
    /** Empty = rr. */
    readonly scheduler: string;
    readonly strictARP: boolean;
    readonly excludeCIDRs: readonly string[];
    readonly tcpTimeoutMs: number;
    readonly tcpFinTimeoutMs: number;
    readonly udpTimeoutMs: number;
  };
  readonly pointsman: {
    readonly iptablesTool: 'auto' | IptablesVariant;
    readonly ipvsMarkMask: number;
    /** Above 0, traffic of Services is counted in modes where the kernel does not count it anyway. */
    readonly serviceMetrics: number;
  };
}

export interface OpenOptions {
  readonly config: BackendConfig;
  /** Reads only: opening, reading and checking write nothing, and `apply` throws. */
  readonly readOnly?: boolean;
  /** Called with what is missing when a backend goes on without an optional part. */
  readonly warn?: (message: string) => void;
}

export interface Opened {
  readonly backends: ReadonlyMap<IPFamily, AnyBackend>;
  /** IP families that this host cannot serve, and why. */
  readonly unusable: ReadonlyMap<IPFamily, string>;
  /** Name of the program or interface that writes the rules, for the log. */
  readonly description: string;
  /** Closes sockets and programs. Kernel objects stay. */
  close(): void;
}

/** A mode that is left while connections run through it. */
export interface Departure {
  readonly backends: ReadonlyMap<IPFamily, Departing<KernelObject, unknown>>;
  close(): void;
}

export interface Mode {
  /** Opens a backend that compiles and prints, without a kernel. */
  offline(family: IPFamily, options: OpenOptions): AnyBackend;
  /** Throws, saying what is missing, where this host cannot do the mode at all. */
  open(options: OpenOptions): Promise<Omit<Opened, 'unusable'>>;
  /**
   * Opens the mode as it is left. Present in modes that established connections run through; undefined: the kernel has
   * nothing of it. `masqueradeMark` is that of the mode that serves now. Throws, naming what is missing.
   */
  leave?(options: OpenOptions, masqueradeMark: number): Promise<Departure | undefined>;
}
