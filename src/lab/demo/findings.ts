/** Findings of a scene: calls made and failed, and the claims of the demo that held. Pure. */

export interface Requests {
  readonly made: number;
  readonly failed: number;
}

export interface DemoClaim {
  readonly text: string;
  readonly isKept: boolean;
}

export interface Findings {
  readonly requests: Requests;
  readonly claims: readonly DemoClaim[];
}

const MAX_PROBLEMS = 3;

export const NO_REQUESTS: Requests = { made: 0, failed: 0 };

export const sum = (parts: readonly Requests[]): Requests => ({
  made: parts.reduce((total, { made }) => total + made, 0),
  failed: parts.reduce((total, { failed }) => total + failed, 0),
});

export const requestsOf = ({ tries, answers }: { readonly tries: number; readonly answers: number }): Requests => ({
  made: tries,
  failed: tries - answers,
});

export const formatCount = (count: number): string => count.toLocaleString('en');

/** Text such as `1,234 requests, 0 failed`. */
export const formatRequests = ({ made, failed }: Requests): string =>
  `${formatCount(made)} requests, ${formatCount(failed)} failed`;

/** Claim that holds when there are no problems; otherwise its text names the first ones. */
export const claimUnless = (problems: readonly string[], text: string): DemoClaim => {
  if (problems.length === 0) return { text, isKept: true };
  const more = problems.length > MAX_PROBLEMS ? [`${problems.length - MAX_PROBLEMS} more`] : [];
  return { text: `${text}: not so: ${[...problems.slice(0, MAX_PROBLEMS), ...more].join('; ')}`, isKept: false };
};

export const merge = (parts: readonly Findings[]): Findings => ({
  requests: sum(parts.map(({ requests }) => requests)),
  claims: parts.flatMap(({ claims }) => claims),
});
