/** Objects that cannot be read: which, why, and how often one had to be skipped. */
import type { ObjectKind } from './kubernetes.ts';

export interface Problem {
  readonly kind: ObjectKind;
  /** `ns/name`, as far as it could be read. */
  readonly key: string;
  readonly message: string;
}

export class Problems {
  readonly #onProblem: ((problem: Problem) => void) | undefined;
  readonly #known = new Map<string, Problem>();
  #skipped = 0;

  constructor(onProblem: ((problem: Problem) => void) | undefined) {
    this.#onProblem = onProblem;
  }

  /** At the moment. */
  get all(): readonly Problem[] {
    return [...this.#known.values()];
  }

  /** How often an object was skipped. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Reported once for as long as the message is the same. */
  skip(problem: Problem): void {
    const key = `${problem.kind} ${problem.key}`;
    const known = this.#known.get(key);
    this.#skipped += 1;
    this.#known.set(key, problem);
    if (known?.message !== problem.message) this.#onProblem?.(problem);
  }

  /** It could be read, or is gone. */
  settle(kind: ObjectKind, key: string): void {
    this.#known.delete(`${kind} ${key}`);
  }
}
