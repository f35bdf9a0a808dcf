/**
 * Authorization of bearer tokens by the cluster, as kube-rbac-proxy does: TokenReview gives the user,
 * SubjectAccessReview the permission.
 *
 * Clients choose how often and with which tokens they ask, so cached verdicts are bounded in time and number, and so
 * are requests to the API server. What cannot be reviewed is denied. Tokens are kept as digests only, and appear in no
 * message.
 */

import { createHash } from 'node:crypto';
import { isRecord } from '../../model/record.ts';
import { dig, digText } from '../raw.ts';
import type { Log } from '../source.ts';
import type { ApiConnection } from './connection.ts';
import { ExpiringMap } from './expiring-map.ts';
import { createRateLimitedLog, type RateLimitedLog } from './rate-limited-log.ts';
import { type Call, create } from './write.ts';

export type AccessVerdict = 'allowed' | 'unknown-token' | 'forbidden' | 'unavailable';

export interface ReviewRequest {
  readonly token: string;
  readonly verb: string;
  readonly path: string;
}

export interface ReviewLimits {
  /** Time-out of one request to the API server. */
  readonly withinMs: number;
  /** Cache time of a permission: it may be revoked meanwhile. */
  readonly allowedMs: number;
  /** Cache time of a refusal: permission may be given meanwhile. */
  readonly refusedMs: number;
  /** Bound of cached verdicts, for permissions and refusals each. */
  readonly remembered: number;
  /** Bound of concurrent reviews. */
  readonly atOnce: number;
  /** Token bucket: burst of reviews, and interval in milliseconds of further ones. */
  readonly burst: number;
  readonly everyMs: number;
}

export interface ReviewOptions {
  readonly connection: ApiConnection;
  readonly log: Log;
  readonly limits?: Partial<ReviewLimits>;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

const LIMITS: ReviewLimits = {
  withinMs: 5_000,
  allowedMs: 60_000,
  refusedMs: 10_000,
  remembered: 256,
  atOnce: 8,
  burst: 20,
  everyMs: 200,
};
const REPEAT_LOG_MS = 600_000;
const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';
const ACCESS_REVIEWS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

export class Reviews {
  readonly #connection: ApiConnection;
  readonly #limits: ReviewLimits;
  readonly #now: () => number;
  readonly #limitedLog: RateLimitedLog;
  readonly #stop = new AbortController();
  /** Permissions and refusals are cached apart: made-up tokens must not evict permissions. */
  readonly #allowed: ExpiringMap<AccessVerdict>;
  readonly #refused: ExpiringMap<AccessVerdict>;
  readonly #underWay = new Map<string, Promise<AccessVerdict>>();
  #credit: number;
  #creditAt: number;

  constructor({ connection, log, limits, now = () => performance.now() }: ReviewOptions) {
    this.#connection = connection;
    this.#limits = { ...LIMITS, ...limits };
    this.#now = now;
    this.#limitedLog = createRateLimitedLog(log, REPEAT_LOG_MS, now);
    this.#allowed = new ExpiringMap(this.#limits.remembered, now);
    this.#refused = new ExpiringMap(this.#limits.remembered, now);
    this.#credit = this.#limits.burst;
    this.#creditAt = now();
  }

  /** Reviews a request, or answers from the cache. Never throws. */
  async authorize(request: ReviewRequest): Promise<AccessVerdict> {
    const key = [createHash('sha256').update(request.token).digest('base64'), request.verb, request.path].join(' ');
    const known = this.#allowed.get(key) ?? this.#refused.get(key) ?? this.#underWay.get(key);
    if (known !== undefined) return known;
    if (this.#underWay.size >= this.#limits.atOnce || !this.#spend()) return 'unavailable';
    const asking = this.#ask(request).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asking);
    const verdict = await asking;
    if (verdict === 'allowed') this.#allowed.put(key, verdict, this.#limits.allowedMs);
    else if (verdict !== 'unavailable') this.#refused.put(key, verdict, this.#limits.refusedMs);
    return verdict;
  }

  /** Aborts reviews under way. */
  stop(): void {
    this.#stop.abort();
  }

  #spend(): boolean {
    const now = this.#now();
    const { burst, everyMs } = this.#limits;
    this.#credit = Math.min(burst, this.#credit + Math.max(0, now - this.#creditAt) / everyMs);
    this.#creditAt = now;
    if (this.#credit < 1) return false;
    this.#credit -= 1;
    return true;
  }

  async #ask({ token, verb, path }: ReviewRequest): Promise<AccessVerdict> {
    const call = { connection: this.#connection, signal: this.#stop.signal, withinMs: this.#limits.withinMs };
    try {
      const user = await reviewToken(call, token);
      if (user === undefined) return 'unknown-token';
      return (await reviewAccess(call, user, verb, path)) ? 'allowed' : 'forbidden';
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        this.#limitedLog.say(
          'warn',
          {},
          'the API server cannot be asked about a token, whoever shows it is refused',
          error,
        );
      }
      return 'unavailable';
    }
  }
}

interface User {
  readonly user: string;
  readonly uid: string;
  readonly groups: readonly unknown[];
  readonly extra: Readonly<Record<string, unknown>>;
}

/** User of a token; undefined when the cluster does not know the token. */
const reviewToken = async (call: Call, token: string): Promise<User | undefined> => {
  const kind = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' };
  const review = await create(call, TOKEN_REVIEWS, { ...kind, spec: { token } });
  const name = digText(review, 'status', 'user', 'username');
  if (dig(review, 'status', 'authenticated') !== true || name === '') return undefined;
  const groups = dig(review, 'status', 'user', 'groups');
  const extra = dig(review, 'status', 'user', 'extra');
  return {
    user: name,
    uid: digText(review, 'status', 'user', 'uid'),
    groups: Array.isArray(groups) ? groups : [],
    extra: isRecord(extra) ? extra : {},
  };
};

const reviewAccess = async (call: Call, user: User, verb: string, path: string): Promise<boolean> => {
  const kind = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' };
  const spec = { ...user, nonResourceAttributes: { verb, path } };
  const review = await create(call, ACCESS_REVIEWS, { ...kind, spec });
  return dig(review, 'status', 'allowed') === true && dig(review, 'status', 'denied') !== true;
};
