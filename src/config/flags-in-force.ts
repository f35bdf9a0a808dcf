/**
 * Flags that would give the settings in force: a value of the configuration file is listed as if a flag had given it.
 */
import type { Config } from './config.ts';
import { fallbackAt } from './fields.ts';
import { FLAGS, kindOf, targetOf, usualTargetOf } from './flag-table.ts';
import { type Settings, settingAt } from './settings.ts';

export interface FlagInForce {
  /** Without dashes. */
  readonly name: string;
  /** As it would be given. */
  readonly value: string;
}

/** Defaults that depend on other settings. */
const ofConfig = (config: Config): ReadonlyMap<string, string> =>
  new Map([
    ['healthz-bind-address', config.healthzBindAddress],
    ['metrics-bind-address', config.metricsBindAddress],
    ['nodeport-addresses', config.nodePortAddresses.join(',')],
  ]);

/** By name. A flag without effect in the proxy mode is at its default. */
export const flagsInForce = (settings: Settings, config: Config): readonly FlagInForce[] => {
  const completed = ofConfig(config);
  return FLAGS.map((flag) => {
    const target = targetOf(flag, config.profile);
    const value: unknown = target === undefined ? fallbackAt(usualTargetOf(flag)) : settingAt(settings, target);
    return { name: flag.name, value: completed.get(flag.name) ?? kindOf(flag).format(value) };
  }).sort((a, b) => (a.name < b.name ? -1 : 1));
};
