/**
 * The settings that are known and do nothing, each with the reason: the operator hears of every one that was set.
 *
 * The table shrinks as the program grows: what is built takes its line out.
 */
import { isDeepStrictEqual } from 'node:util';
import { type FieldPath, fallbackAt } from './fields.ts';
import { type Settings, settingAt } from './settings.ts';

const NOT_YET = 'this version does not support it yet';
const JSON_ONLY = 'objects are always exchanged as JSON';
const WINDOWS = 'it is for Windows';
const NO_MEANING = 'it has no meaning for kube-proxy either';
const GONE = 'kube-proxy no longer has it';

type Groups = 'winkernel' | 'logging.options';

/** By path, or by the group that holds it. */
const NO_EFFECT: Partial<Record<FieldPath | Groups, string>> = {
  enableProfiling: NOT_YET,
  showHiddenMetricsForVersion: 'no metric is hidden',
  featureGates: NOT_YET,
  oomScoreAdj: NOT_YET,
  configSyncPeriod: NOT_YET,
  version: 'the version that is reported is our own',
  'clientConnection.qps': NOT_YET,
  'clientConnection.burst': NOT_YET,
  'clientConnection.contentType': JSON_ONLY,
  'clientConnection.acceptContentTypes': JSON_ONLY,
  'logging.flushFrequency': NOT_YET,
  'logging.vmodule': NOT_YET,
  'logging.options': NOT_YET,
  winkernel: WINDOWS,
  windowsRunAsService: WINDOWS,
  machineIdFile: NO_MEANING,
  bootIdFile: NO_MEANING,
  portRange: NO_MEANING,
  resourceContainer: GONE,
  udpIdleTimeout: GONE,
};

const REASONS: ReadonlyMap<string, string> = new Map(Object.entries(NO_EFFECT));

/** The reason given for a path, or for the nearest group around it. */
const reasonFor = (path: string): string | undefined => {
  const own = REASONS.get(path);
  const end = path.lastIndexOf('.');
  return own ?? (end < 0 ? undefined : reasonFor(path.slice(0, end)));
};

/** `--version` only asks; with a version it would change what is reported. */
const isQuestion = (path: FieldPath, value: unknown): boolean =>
  path === 'version' && (value === 'true' || value === 'raw');

/** Asked for in so many words, although it is the default: a mode that has them not must not be silent about it. */
const localhostWarnings = (settings: Settings): readonly string[] => {
  const given = settings.get('iptables.localhostNodePorts');
  const mode = settingAt(settings, 'mode');
  if (given?.value !== true || mode === 'iptables') return [];
  return [`${given.name} has no effect: in mode ${mode} NodePorts do not answer on 127.0.0.1, as in kube-proxy`];
};

/** Nothing is written to a cluster that is a folder. */
const taintWarnings = (settings: Settings): readonly string[] => {
  const given = settings.get('pointsman.startupTaint');
  if (given === undefined || settingAt(settings, 'pointsman.source').kind === 'apiserver') return [];
  return [`${given.name} has no effect: objects come from files`];
};

/** One warning for each setting that the operator changed and that does nothing, under the operator's name for it. */
export const warningsFor = (settings: Settings): readonly string[] => [
  ...[...settings].flatMap(([path, { name, value }]) => {
    const reason = reasonFor(path);
    const isChanged = !isDeepStrictEqual(value, fallbackAt(path)) && !isQuestion(path, value);
    return reason === undefined || !isChanged ? [] : [`${name} has no effect: ${reason}`];
  }),
  ...localhostWarnings(settings),
  ...taintWarnings(settings),
];
