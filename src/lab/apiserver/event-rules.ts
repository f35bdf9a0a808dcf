/**
 * Validation of Events of events.k8s.io/v1 as in the real server, which is stricter than for other objects. Without it
 * a client's missing field would show in a real cluster only.
 */
import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from './json.ts';
import { invalid } from './status.ts';

const LIMITS: Readonly<Record<string, number>> = { action: 128, reason: 128, reportingInstance: 128, note: 1_024 };
const REQUIRED = ['eventTime', 'reportingController', 'reportingInstance', 'action', 'reason'];
/** Deprecated fields of core/v1 Events, which must be unset. */
const UNSET = ['deprecatedCount', 'deprecatedFirstTimestamp', 'deprecatedLastTimestamp', 'deprecatedSource'];
const QUALIFIED_NAME = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;
const NAME_LENGTH = 253;

/** Validates a new Event. Throws 422. */
export const checkNewEvent = (event: JsonObject, namespace: string): void => {
  const { metadata, type, regarding, reportingController } = event;
  const { name } = (metadata ?? {}) as JsonObject;
  const faults = [
    ...REQUIRED.filter((field) => (event[field] ?? '') === '').map((field) => `${field}: Required value`),
    ...UNSET.filter((field) => event[field] !== undefined).map((field) => `${field}: needs to be unset`),
    ...tooLong(event),
    ...(type === 'Normal' || type === 'Warning' ? [] : [`type: has invalid value: ${type}`]),
    ...(QUALIFIED_NAME.test(String(reportingController)) ? [] : ['reportingController: no qualified name']),
    ...(typeof name === 'string' && name.length <= NAME_LENGTH && SUBDOMAIN.test(name)
      ? []
      : [`metadata.name: ${name}`]),
    ...(event.eventTime === undefined || MICRO_TIME.test(String(event.eventTime)) ? [] : ['eventTime: no micro time']),
    ...placeFaults((regarding ?? {}) as JsonObject, namespace),
    ...seriesFaults(event.series),
  ];
  refuse(faults);
};

/** Validates a changed Event, of which only the series may differ. Throws 422. */
export const checkChangedEvent = (event: JsonObject, former: JsonObject): void => {
  const isFixed = (field: string): boolean => !['series', 'metadata'].includes(field);
  const fields = new Set([...Object.keys(event), ...Object.keys(former)].filter(isFixed));
  const changed = [...fields].filter((field) => !isDeepStrictEqual(event[field], former[field]));
  refuse([...changed.map((field) => `${field}: field is immutable`), ...seriesFaults(event.series)]);
};

const tooLong = (event: JsonObject): readonly string[] =>
  Object.entries(LIMITS)
    .filter(([field, limit]) => Buffer.byteLength(String(event[field] ?? '')) > limit)
    .map(([field, limit]) => `${field}: can have at most ${limit} characters`);

const placeFaults = ({ namespace: own = '' }: JsonObject, namespace: string): readonly string[] => {
  const isRight = own === '' ? ['default', 'kube-system'].includes(namespace) : own === namespace;
  return isRight ? [] : ['involvedObject.namespace: does not match event.namespace'];
};

const seriesFaults = (series: unknown): readonly string[] => {
  if (series === undefined || series === null) return [];
  const { count, lastObservedTime } = series as JsonObject;
  return [
    ...(typeof count === 'number' && count >= 2 ? [] : ['series.count: should be at least 2']),
    ...(MICRO_TIME.test(String(lastObservedTime)) ? [] : ['series.lastObservedTime: Required value']),
  ];
};

const refuse = (faults: readonly string[]): void => {
  if (faults.length > 0) throw invalid(`Event.events.k8s.io is invalid: ${faults.join(', ')}`);
};
