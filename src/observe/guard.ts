/**
 * Access to the pages of the metrics server. Health pages, and metrics but under `strict`, are open, as monitoring and
 * kube-proxy's tools read them from everywhere. All other pages reveal much of a cluster: they are for clients on this node,
 * and for bearers of a token that the cluster authorizes.
 *
 * A page on no list here is not open.
 */

import { isLoopback, parseIP } from '../model/address.ts';
import { type Answer, type HttpRequest, type Route, type Routes, text } from './http.ts';

/** Verdict on a token. `unavailable`: the cluster cannot be asked now, and access is denied. */
export type Verdict = 'allowed' | 'unknown-token' | 'forbidden' | 'unavailable';

export interface AccessRequest {
  /** Bearer token, without `Bearer`. */
  readonly token: string;
  /** Method as Kubernetes' verb for non-resource URLs: `get`, `put`, `delete`. */
  readonly verb: string;
  readonly path: string;
}

/** Asks the cluster for a verdict. Never throws. */
export type Authorize = (request: AccessRequest) => Promise<Verdict>;

export interface GuardOptions {
  /** `local`: tokens are not accepted. `strict`: metrics are guarded too. */
  readonly policy: 'local' | 'token' | 'strict';
  /** Undefined without a cluster. */
  readonly authorize: Authorize | undefined;
}

const HEALTH = ['/healthz', '/healthz/ping', '/proxyMode'];
const METRICS = ['/metrics', '/metrics/slis'];
/** Pages for clients on this node alone: a heap snapshot holds the proxy's own credentials. */
const NODE_ONLY: ReadonlySet<string> = new Set(['/debug/pprof/heap']);

/** Routes with access checks. */
export const guarded = (routes: Routes, options: GuardOptions): Routes => {
  const open = new Set([...HEALTH, ...(options.policy === 'strict' ? [] : METRICS)]);
  return new Map(
    [...routes].map(([key, route]): [string, Route] => [key, open.has(key) ? route : guard(key, route, options)]),
  );
};

const guard = (key: string, route: Route, { policy, authorize }: GuardOptions): Route => {
  const [path = '', method = 'get'] = key.split(' ').reverse();
  const request = { verb: method.toLowerCase(), path };
  const asks = policy === 'local' || NODE_ONLY.has(path) ? undefined : authorize;
  return async (httpRequest) => {
    if (isFromHere(httpRequest)) return route(httpRequest);
    if (asks === undefined) return text(403, FOR_THE_NODE);
    const token = bearerToken(httpRequest.authorization);
    const verdict = token === undefined ? 'unknown-token' : await asks({ ...request, token });
    return verdict === 'allowed' ? route(httpRequest) : refusal(verdict, request);
  };
};

const HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * True where the peer and the Host header are loopback. The header counts, as a page in a browser on this node can make any
 * name resolve to 127.0.0.1 (DNS rebinding). The node's own address is not enough, as a reverse proxy on this node has it.
 */
const isFromHere = ({ peer, host }: HttpRequest): boolean => {
  const address = parseIP(peer); // a dual-stack socket gives IPv4-mapped addresses
  return address !== undefined && isLoopback(address) && HOSTS.has(host.replace(/:\d+$/, '').toLowerCase());
};

const bearerToken = (authorization: string): string | undefined => /^bearer +(\S+)$/i.exec(authorization.trim())?.[1];

const ON_THE_NODE =
  'callers on this node itself, at localhost (`kubectl port-forward` to this pod makes you one, if the cluster lets you)';
const FOR_THE_NODE = `only for ${ON_THE_NODE}\n`;

const refusal = (verdict: Exclude<Verdict, 'allowed'>, { verb, path }: Omit<AccessRequest, 'token'>): Answer => {
  switch (verdict) {
    case 'unknown-token': {
      const answer = text(401, `only for ${ON_THE_NODE}, or with a bearer token that may ${verb} ${path}\n`);
      return { ...answer, headers: { ...answer.headers, 'WWW-Authenticate': 'Bearer' } };
    }
    case 'forbidden':
      return text(
        403,
        `whose token this is may not ${verb} ${path}: a ClusterRole has to name it in nonResourceURLs\n`,
      );
    case 'unavailable': {
      const answer = text(503, 'the cluster cannot be asked about this token at the moment\n');
      return { ...answer, headers: { ...answer.headers, 'Retry-After': '5' } };
    }
  }
};
