/** Events of API group events.k8s.io/v1, within the API's limits. Pure. */
import type { RawObject } from '../raw.ts';

/** Object that an Event is about; cluster-scoped without a namespace. */
export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  /** Reason in CamelCase, for machines. */
  readonly reason: string;
  /** Action that was taken or tried, in CamelCase. */
  readonly action: string;
  /** Text for people; truncated to the API's limit. */
  readonly note: string;
  readonly regarding: EventObject;
  readonly related?: EventObject;
}

/** Repetitions of one Event. */
export interface EventSeries {
  readonly count: number;
  /** Milliseconds since 1970. */
  readonly lastAt: number;
}

export interface EventFacts {
  readonly name: string;
  /** Name of the reporting node. */
  readonly instance: string;
  /** Milliseconds since 1970. */
  readonly firstAt: number;
  readonly series: EventSeries;
}

const CONTROLLER = 'pointsman';
/** Namespace for Events about cluster-scoped objects. */
const NO_NAMESPACE = 'default';
const NOTE_BYTES = 1_024;
const INSTANCE_LENGTH = 128;
const NAME_LENGTH = 253;
const ELLIPSIS = '…';

export const namespaceOf = ({ regarding }: EventText): string => regarding.namespace ?? NO_NAMESPACE;

export const eventsPath = (namespace: string, name?: string): string =>
  ['/apis/events.k8s.io/v1/namespaces', namespace, 'events', ...(name === undefined ? [] : [name])].join('/');

/** Unique name: the object's name and an identifier. */
export const eventName = (subject: string, identifier: string): string => {
  const room = NAME_LENGTH - identifier.length - 1;
  return `${subject.slice(0, room).replace(/[^a-z0-9]+$/, '')}.${identifier}`;
};

/** Note truncated to the API's limit, which counts bytes. */
export const cutNote = (note: string): string => {
  const bytes = Buffer.from(note);
  if (bytes.length <= NOTE_BYTES) return note;
  const kept = bytes.subarray(0, NOTE_BYTES - Buffer.byteLength(ELLIPSIS)).toString();
  return `${kept.replace(/\uFFFD$/, '')}${ELLIPSIS}`; // a truncated character at the end is dropped
};

export const eventBody = (event: EventText, facts: EventFacts): RawObject => {
  const { type, reason, action, note, regarding, related } = event;
  const { name, instance, firstAt, series } = facts;
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { namespace: namespaceOf(event), name },
    eventTime: microTime(firstAt),
    reportingController: CONTROLLER,
    reportingInstance: instance.slice(0, INSTANCE_LENGTH),
    type,
    reason,
    action,
    note: cutNote(note),
    regarding,
    ...(related === undefined ? {} : { related }),
    ...(series.count > 1 ? seriesBody(series) : {}),
  };
};

/** Part of an Event that a repetition changes. */
export const seriesBody = ({ count, lastAt }: EventSeries): RawObject => ({
  series: { count, lastObservedTime: microTime(lastAt) },
});

/** RFC 3339 with six fractional digits, as MicroTime requires. */
const microTime = (at: number): string => new Date(at).toISOString().replace('Z', '000Z');
