/**
 * The sink for objects of one kind. Sinks do not throw by contract; an error of one is logged, and the next objects are
 * handed over all the same.
 */
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import type { RawObject } from '../raw.ts';
import type { Log } from '../source.ts';
import type { ObjectEvent } from './watch.ts';

export class GuardedSink {
  readonly #sink: ObjectSink;
  readonly #kind: ObjectKind;
  readonly #log: Log;

  constructor(sink: ObjectSink, kind: ObjectKind, log: Log) {
    this.#sink = sink;
    this.#kind = kind;
    this.#log = log;
  }

  /** The whole contents of the kind. */
  async replace(objects: readonly RawObject[]): Promise<void> {
    try {
      await this.#sink.replace(this.#kind, objects);
    } catch (error) {
      this.#logRejected(error);
    }
  }

  apply({ type, object }: ObjectEvent): void {
    try {
      this.#sink[type](this.#kind, object);
    } catch (error) {
      this.#logRejected(error);
    }
  }

  #logRejected(error: unknown): void {
    this.#log.error({ kind: this.#kind, err: error }, 'objects were not taken over');
  }
}
