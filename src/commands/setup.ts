/** Configuration, node name and source, for all commands that read the cluster. */
import { hostname } from 'node:os';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import { profileOf } from '../backends/index.ts';
import type { Config } from '../config/config.ts';
import { readFlags } from '../config/flags.ts';
import type { FlagInForce } from '../config/flags-in-force.ts';
import { loadConfig } from '../config/load.ts';
import { createLog } from '../observe/log.ts';
import { LogOutputs } from '../observe/log-output.ts';
import type { ApiConnection } from '../sources/apiserver/connection.ts';
import type { Resource } from '../sources/resources.ts';
import type { ObjectSource } from '../sources/source.ts';
import { VERSION } from './version.ts';

export interface Setup {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** Every flag with the value that counts, whoever gave it. */
  readonly flags: readonly FlagInForce[];
  readonly nodeName: string;
  readonly log: Logger;
}

export interface SetupOptions {
  /** In place of the configured one. */
  readonly nodeName?: string | undefined;
  readonly quiet?: boolean;
  /** Where the log's lines go: one for all setups of a process. */
  readonly outputs?: LogOutputs;
}

/** Reads flags and configuration file. Throws ConfigError before anything is touched. */
export const setUp = async (command: Command, options: SetupOptions = {}): Promise<Setup> => {
  const { config, warnings, flags } = await loadConfig({ flags: readFlags(command), profileOf });
  const name = options.nodeName ?? (config.hostnameOverride === '' ? hostname() : config.hostnameOverride);
  return { config, warnings, flags, nodeName: name.trim().toLowerCase(), log: logFor(config, options) };
};

/** Where stdout is for what was asked for, nothing of the log may go there. */
const logFor = (
  { logging, pointsman }: Config,
  { quiet = false, outputs = new LogOutputs() }: SetupOptions,
): Logger => {
  const split = logging.options[logging.format].splitStream && !quiet && !pointsman.dryRun;
  return createLog({ format: logging.format, verbosity: logging.verbosity, quiet, split, outputs });
};

/** Where objects come from, and whom to tell. */
export interface ClusterAccess {
  readonly source: ObjectSource;
  /** Undefined where the cluster is a folder. */
  readonly connection: ApiConnection | undefined;
}

/**
 * Opens the source of objects: those that are a proxy's business, or of these resources. Throws when a folder, kubeconfig
 * or credential cannot be used.
 */
export const openCluster = async (
  { config, nodeName, log }: Setup,
  resources?: readonly Resource[],
): Promise<ClusterAccess> => {
  const { source } = config.pointsman;
  if (source.kind === 'files') {
    const { openFolder } = await import('../sources/files/folder.ts');
    return { source: await openFolder({ dir: source.dir, nodeName, resources, log }), connection: undefined };
  }
  const { openConnection } = await import('../sources/apiserver/connection.ts');
  const { ApiServerSource } = await import('../sources/apiserver/source.ts');
  const { kubeconfig } = config.clientConnection;
  const connection = await openConnection({ kubeconfig, master: config.master ?? '', version: VERSION, log });
  return { source: new ApiServerSource({ connection, nodeName, resources, log }), connection };
};

/** Throws when a folder, kubeconfig or credential cannot be used. Opens nothing that stays open. */
export const checkSource = async (setup: Setup): Promise<void> => {
  await openCluster(setup); // nothing is connected before it runs
};
