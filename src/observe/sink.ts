/** An ear on what a source says: counts events, and knows whether the node may get new traffic. */
import { isEligible } from '../model/eligibility.ts';
import { type ObjectKind, type ObjectSink, readMeta } from '../model/kubernetes.ts';

export interface SinkOptions {
  /** Where everything goes. */
  readonly sink: ObjectSink;
  readonly nodeName: string;
  /** Something is to be done for what came so far. */
  readonly hasWork: () => boolean;
  readonly onEvents: (kind: ObjectKind, events: number, pending: number) => void;
}

export class ListeningSink implements ObjectSink {
  readonly #options: SinkOptions;
  #isNodeEligible = false;

  constructor(options: SinkOptions) {
    this.#options = options;
  }

  /** False as long as the Node object is not known; one that is deleted is judged by what it was at last. */
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
