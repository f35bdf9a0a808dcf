/** Something that is not to be had, and that everything goes on without: shown in the log, in /status and as an Event. */
export interface Missing {
  /** The same text for as long as the same thing is missing: `Node worker-1`. */
  readonly what: string;
  /** The reason, and what does not work meanwhile. */
  readonly why: string;
  /** The cluster is of a version that has no such thing, and nothing is to be done: no warning and no Event. */
  readonly isExpected?: boolean;
}
