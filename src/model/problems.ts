/** Unreadable objects, the reason for each, and how often one was skipped. */
import type { ObjectKind } from './kubernetes.ts';

export interface Problem {
  readonly kind: ObjectKind;
  /** `ns/name`, or the part of it that could be read. */
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

  /** Objects that are unreadable now. */
  get all(): readonly Problem[] {
    return [...this.#known.values()];
  }

  /** Number of times that an object was skipped. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Records a skipped object; it is reported again only with another message. */
  skip(problem: Problem): void {
    const key = `${problem.kind} ${problem.key}`;
    const known = this.#known.get(key);
    this.#skipped += 1;
    this.#known.set(key, problem);
    if (known?.message !== problem.message) this.#onProblem?.(problem);
  }

  /** Forgets an object that could be read, or is gone. */
  settle(kind: ObjectKind, key: string): void {
    this.#known.delete(`${kind} ${key}`);
  }
}
