/**
 * An Event in the words of the API (events.k8s.io/v1), within the API's limits. Pure.
 */
import type { RawObject } from '../raw.ts';

/** Whom an Event is about. Of the whole cluster without a namespace. */
export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for machines and for eyes that skim. */
  readonly reason: string;
  /** CamelCase: what was done or tried. */
  readonly action: string;
  /** For people; cut where it is too long. */
  readonly note: string;
  readonly regarding: EventObject;
  readonly related?: EventObject;
}

/** The same thing that happened several times. */
export interface EventSeries {
  readonly count: number;
  /** Milliseconds since 1970. */
  readonly lastAt: number;
}

export interface EventFacts {
  readonly name: string;
  /** The node that tells. */
  readonly instance: string;
  /** Milliseconds since 1970. */
  readonly firstAt: number;
  readonly series: EventSeries;
}

const CONTROLLER = 'pointsman';
/** Where Events stand whose object is in no namespace. */
const NO_NAMESPACE = 'default';
const NOTE_BYTES = 1_024;
const INSTANCE_LENGTH = 128;
const NAME_LENGTH = 253;
const ELLIPSIS = '…';

export const namespaceOf = ({ regarding }: EventText): string => regarding.namespace ?? NO_NAMESPACE;

export const eventsPath = (namespace: string, name?: string): string =>
  ['/apis/events.k8s.io/v1/namespaces', namespace, 'events', ...(name === undefined ? [] : [name])].join('/');

/** A name that no other Event has: the subject's, and an identifier. */
export const eventName = (subject: string, identifier: string): string => {
  const room = NAME_LENGTH - identifier.length - 1;
  return `${subject.slice(0, room).replace(/[^a-z0-9]+$/, '')}.${identifier}`;
};

/** The note within the API's limit, which is one of bytes. */
export const cutNote = (note: string): string => {
  const bytes = Buffer.from(note);
  if (bytes.length <= NOTE_BYTES) return note;
  const kept = bytes.subarray(0, NOTE_BYTES - Buffer.byteLength(ELLIPSIS)).toString();
  return `${kept.replace(/\uFFFD$/, '')}${ELLIPSIS}`; // half a character at the end is none
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

/** What changes when it happens again. */
export const seriesBody = ({ count, lastAt }: EventSeries): RawObject => ({
  series: { count, lastObservedTime: microTime(lastAt) },
});

/** RFC 3339 with the six digits that the API wants. */
const microTime = (at: number): string => new Date(at).toISOString().replace('Z', '000Z');
