/**
 * Checks between settings; checks of a single setting are in its kind.
 *
 * The rules of kube-proxy's validation. They hold whatever the mode, where kube-proxy looks at the active mode only: a
 * mistake in the settings of another mode would show on the day of the switch.
 */
import { PERIOD_GROUPS } from './config.ts';
import { formatDuration } from './duration.ts';
import type { FieldPath } from './fields.ts';
import { nameOf, type Problem, type Settings, settingAt } from './settings.ts';

interface Check {
  /** The settings it looks at: it says nothing when one of them could not be read. */
  readonly of: readonly FieldPath[];
  /** Text of the problem; undefined where there is none. */
  readonly find: (settings: Settings) => string | undefined;
}

const PERIODS: readonly Check[] = PERIOD_GROUPS.map((group): Check => {
  const [sync, min] = [`${group}.syncPeriod`, `${group}.minSyncPeriod`] as const;
  return {
    of: [sync, min],
    find: (settings) => {
      const [longest, least] = [settingAt(settings, sync), settingAt(settings, min)];
      if (least <= longest) return undefined;
      const limit = `${nameOf(settings, sync)} (${formatDuration(longest)})`;
      return `${nameOf(settings, min)}: expected no more than ${limit}, got "${formatDuration(least)}"`;
    },
  };
});

/** A way to recognise local pods that needs a name to look for. */
const needed = (mode: 'BridgeInterface' | 'InterfaceNamePrefix', path: FieldPath, flag: string): Check => ({
  of: ['detectLocalMode', path],
  find: (settings) =>
    settingAt(settings, 'detectLocalMode') === mode && settingAt(settings, path) === ''
      ? `${nameOf(settings, 'detectLocalMode')}: ${mode} needs ${path} (${flag}), which is not given`
      : undefined,
});

const VMODULE: Check = {
  of: ['logging.format', 'logging.vmodule'],
  find: (settings) =>
    settingAt(settings, 'logging.vmodule').length > 0 && settingAt(settings, 'logging.format') !== 'text'
      ? `${nameOf(settings, 'logging.vmodule')}: works with logging format text only`
      : undefined,
};

/** Packets to be masqueraded carry that bit besides. */
const MARK_MASK: Check = {
  of: ['pointsman.ipvsMarkMask', 'iptables.masqueradeBit'],
  find: (settings) =>
    settingAt(settings, 'pointsman.ipvsMarkMask') === 2 ** settingAt(settings, 'iptables.masqueradeBit')
      ? `${nameOf(settings, 'pointsman.ipvsMarkMask')}: expected another bit than that of ` +
        nameOf(settings, 'iptables.masqueradeBit')
      : undefined,
};

const CHECKS: readonly Check[] = [
  ...PERIODS,
  needed('BridgeInterface', 'detectLocal.bridgeInterface', '--pod-bridge-interface'),
  needed('InterfaceNamePrefix', 'detectLocal.interfaceNamePrefix', '--pod-interface-name-prefix'),
  VMODULE,
  MARK_MASK,
];

/** The problems of settings taken together; `unread` are those that already have a problem of their own. */
export const crossProblems = (settings: Settings, unread: ReadonlySet<FieldPath>): readonly Problem[] =>
  CHECKS.filter((check) => !check.of.some((path) => unread.has(path))).flatMap((check) => {
    const text = check.find(settings);
    return text === undefined ? [] : [{ text }];
  });
