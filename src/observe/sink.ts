/** Sink that counts a source's events and notes the node's eligibility for new traffic, then passes all on. */
import { isEligible } from '../model/eligibility.ts';
import { type ObjectKind, type ObjectSink, readMeta } from '../model/kubernetes.ts';

export interface SinkOptions {
  /** Receiver of all events. */
  readonly sink: ObjectSink;
  readonly nodeName: string;
  /** True when events so far lead to work. */
  readonly hasWork: () => boolean;
  readonly onEvents: (kind: ObjectKind, events: number, pending: number) => void;
}

export class ListeningSink implements ObjectSink {
  readonly #options: SinkOptions;
  #isNodeEligible = false;

  constructor(options: SinkOptions) {
    this.#options = options;
  }

  /** False until the Node object is known; after its deletion the last value. */
  get isNodeEligible(): boolean {
    return this.#isNodeEligible;
  }

  async replace(kind: ObjectKind, objects: readonly unknown[]): Promise<void> {
    await this.#options.sink.replace(kind, objects);
    this.#heard(kind, objects.length);
    if (kind === 'Node') for (const object of objects) this.#look(object);
  }

  put(kind: ObjectKind, object: unknown): void {
    this.#options.sink.put(kind, object);
    this.#heard(kind, 1);
    if (kind === 'Node') this.#look(object);
  }

  remove(kind: ObjectKind, object: unknown): void {
    this.#options.sink.remove(kind, object);
    this.#heard(kind, 1);
  }

  #heard(kind: ObjectKind, events: number): void {
    this.#options.onEvents(kind, events, this.#options.hasWork() ? events : 0);
  }

  #look(node: unknown): void {
    if (nameOf(node) === this.#options.nodeName) this.#isNodeEligible = isEligible(node);
  }
}

const nameOf = (node: unknown): string | undefined => {
  try {
    return readMeta(node, 'Node').name;
  } catch {
    return undefined;
  }
};
