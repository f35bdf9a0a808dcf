/** Optional input that is missing, without which the proxy goes on: shown in the log, in /status and as an Event. */
export interface Missing {
  /** Name of the input, which stays the same while it is missing: `Node worker-1`. */
  readonly what: string;
  /** Reason, and what does not work meanwhile. */
  readonly why: string;
  /** True where the cluster's version has no such input: no warning and no Event. */
  readonly isExpected?: boolean;
}
