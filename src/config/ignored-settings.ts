/**
 * The settings that are known and do nothing, each with the reason: the operator hears of every one that was set.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Profile } from './config.ts';
import { type FieldPath, fallbackAt } from './fields.ts';
import { nameOf, type Settings, settingAt } from './settings.ts';

const FEW_REQUESTS = 'few requests are made: lists, watches and Events, with limits of their own';
const AT_ONCE = 'log lines are written at once';
const JSON_ONLY = 'objects are always exchanged as JSON';
const WINDOWS = 'it is for Windows';
const NO_MEANING = 'it has no meaning for kube-proxy either';
const GONE = 'kube-proxy no longer has it';

type Groups = 'winkernel';

/** By path, or by the group that holds it. */
const NO_EFFECT: Partial<Record<FieldPath | Groups, string>> = {
  showHiddenMetricsForVersion: 'no metric is hidden',
  configSyncPeriod: 'known objects are not gone through again: the kernel is looked at every syncPeriod instead',
  version: 'the version that is reported is our own',
  'clientConnection.qps': FEW_REQUESTS,
  'clientConnection.burst': FEW_REQUESTS,
  'clientConnection.contentType': JSON_ONLY,
  'clientConnection.acceptContentTypes': JSON_ONLY,
  'logging.flushFrequency': AT_ONCE,
  'logging.vmodule': 'log lines are not told apart by source file',
  'logging.options.text.infoBufferSize': AT_ONCE,
  'logging.options.json.infoBufferSize': AT_ONCE,
  winkernel: WINDOWS,
  windowsRunAsService: WINDOWS,
  machineIdFile: NO_MEANING,
  bootIdFile: NO_MEANING,
  portRange: NO_MEANING,
  resourceContainer: GONE,
  udpIdleTimeout: GONE,
};

const REASONS: ReadonlyMap<string, string> = new Map(Object.entries(NO_EFFECT));

/** Why a setting does nothing, or the nearest group around it; undefined for one that does something. */
export const reasonFor = (path: string): string | undefined => {
  const own = REASONS.get(path);
  const end = path.lastIndexOf('.');
  return own ?? (end < 0 ? undefined : reasonFor(path.slice(0, end)));
};

/** `--version` only asks; with a version it would change what is reported. */
const isQuestion = (path: FieldPath, value: unknown): boolean =>
  path === 'version' && (value === 'true' || value === 'raw');

/** Asked for in so many words, although it is the default: a mode that has them not must not be silent about it. */
const localhostWarnings = (settings: Settings, { mode, localhostNodePorts }: Profile): readonly string[] => {
  const given = settings.get('iptables.localhostNodePorts');
  if (given?.value !== true || localhostNodePorts) return [];
  return [`${given.name} has no effect: in mode ${mode} NodePorts do not answer on 127.0.0.1, as in kube-proxy`];
};

/** Nothing is written to a cluster that is a folder. */
const taintWarnings = (settings: Settings): readonly string[] => {
  const given = settings.get('pointsman.startupTaint');
  if (given === undefined || settingAt(settings, 'pointsman.source').kind === 'apiserver') return [];
  return [`${given.name} has no effect: objects come from files`];
};

/** Features of kube-proxy that one can do without here too. */
export const KNOWN_GATES: readonly string[] = ['ComponentFlagz', 'ComponentStatusz'];

/** Gates guard what is new in kube-proxy's own code: of the others none has anything to turn on or off here. */
const gateWarnings = (settings: Settings): readonly string[] => {
  const name = nameOf(settings, 'featureGates');
  return Object.keys(settingAt(settings, 'featureGates'))
    .filter((gate) => !KNOWN_GATES.includes(gate))
    .map((gate) => `${name}: ${gate} has no effect: there is no such feature to turn on or off here`);
};

const OTHER_FORMAT = { text: 'json', json: 'text' } as const;

const splitWarnings = (settings: Settings): readonly string[] => {
  const format = settingAt(settings, 'logging.format');
  const given = settings.get(`logging.options.${OTHER_FORMAT[format]}.splitStream`);
  return given?.value === true ? [`${given.name} has no effect: the logging format is ${format}`] : [];
};

/** One warning for each setting that the operator changed and that does nothing, under the operator's name for it. */
export const warningsFor = (settings: Settings, profile: Profile): readonly string[] => [
  ...[...settings].flatMap(([path, { name, value }]) => {
    const reason = reasonFor(path);
    const isChanged = !isDeepStrictEqual(value, fallbackAt(path)) && !isQuestion(path, value);
    return reason === undefined || !isChanged ? [] : [`${name} has no effect: ${reason}`];
  }),
  ...localhostWarnings(settings, profile),
  ...taintWarnings(settings),
  ...gateWarnings(settings),
  ...splitWarnings(settings),
];
