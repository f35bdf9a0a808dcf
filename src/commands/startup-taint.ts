/**
 * The start-up taint (`--startup-taint`): it keeps pods off a node until this program's rules are in the kernel, and is taken
 * off then. Never added. A Node that is registered anew comes with it again, so the watched Node is looked at from then on.
 */
import type { ObjectKind, ObjectSink } from '../model/kubernetes.ts';
import type { ApiConnection } from '../sources/apiserver/connection.ts';
import { hasTaint, removeTaint, type TaintOptions } from '../sources/apiserver/taint.ts';
import { digText } from '../sources/raw.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

export interface StartupTaint {
  /** Sink for a source, in front of this one. */
  listenIn(sink: ObjectSink): ObjectSink;
  /** The first sync of every family is in the kernel. */
  ready(): void;
}

const NONE: StartupTaint = { listenIn: (sink) => sink, ready: () => undefined };

export const startupTaint = (
  setup: Setup,
  connection: ApiConnection | undefined,
  events: NodeEvents,
  signal: AbortSignal,
): StartupTaint => {
  const { config, nodeName, log } = setup;
  const key = config.pointsman.startupTaint;
  if (key === undefined || connection === undefined) return NONE;
  return new TaintWatch({ connection, nodeName, key, log }, () => events.taintRemoved(key), signal);
};

class TaintWatch implements StartupTaint {
  readonly #options: TaintOptions;
  readonly #onRemoved: () => void;
  readonly #signal: AbortSignal;
  #isReady = false;
  /** As the watch last said. */
  #isThere = false;
  #removing: Promise<void> | undefined;

  constructor(options: TaintOptions, onRemoved: () => void, signal: AbortSignal) {
    this.#options = options;
    this.#onRemoved = onRemoved;
    this.#signal = signal;
  }

  listenIn(sink: ObjectSink): ObjectSink {
    return {
      replace: async (kind, objects) => {
        await sink.replace(kind, objects);
        for (const object of objects) this.#look(kind, object);
      },
      put: (kind, object) => {
        sink.put(kind, object);
        this.#look(kind, object);
      },
      remove: (kind, object) => sink.remove(kind, object),
    };
  }

  ready(): void {
    this.#isReady = true;
    this.#settle();
  }

  #look(kind: ObjectKind, object: unknown): void {
    const { nodeName, key } = this.#options;
    if (kind !== 'Node' || digText(object, 'metadata', 'name') !== nodeName) return;
    this.#isThere = hasTaint(object, key);
    this.#settle();
  }

  #settle(): void {
    if (!this.#isReady || !this.#isThere) return;
    this.#removing ??= this.#remove();
  }

  async #remove(): Promise<void> {
    const { log, nodeName: node, key } = this.#options;
    this.#isThere = false; // what the watch says from now on is newer, or is found gone at a look
    const isRemoved = await removeTaint(this.#options, this.#signal);
    this.#removing = undefined;
    if (isRemoved) {
      log.info({ node, taint: key }, 'rules are in place: the start-up taint is removed');
      this.#onRemoved();
    }
    this.#settle();
  }
}
