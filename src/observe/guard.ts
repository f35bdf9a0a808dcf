/**
 * Who may ask for which page of the metrics server. Monitoring and kube-proxy's tools ask for some from everywhere; all others
 * tell much of a cluster, so they are for callers on this node, and for bearers of a token that the cluster admits.
 *
 * A page that nobody has put on a list here is not for everybody.
 */
import { isLoopback, parseIP } from '../model/address.ts';
import type { Answer } from './health-listener.ts';
import { type Question, type Route, type Routes, text } from './server.ts';

/** `unavailable`: nobody can tell at the moment, so the answer is no. */
export type Verdict = 'allowed' | 'unknown-token' | 'forbidden' | 'unavailable';

export interface AccessRequest {
  /** What the caller shows, without `Bearer`. */
  readonly token: string;
  /** `get`, `put`, `delete`: the method, as Kubernetes has it for paths that are no resources. */
  readonly verb: string;
  readonly path: string;
}

/** Asks the cluster. Never throws. */
export type Authorize = (request: AccessRequest) => Promise<Verdict>;

export interface GuardOptions {
  /** `local`: no token counts. `strict`: metrics, too, are only for the node and for bearers. */
  readonly policy: 'local' | 'token' | 'strict';
  /** Undefined where there is no cluster to ask. */
  readonly authorize: Authorize | undefined;
}

const HEALTH = ['/healthz', '/healthz/ping', '/proxyMode'];
const METRICS = ['/metrics', '/metrics/slis'];
/** A snapshot of the heap holds the proxy's own credentials: no token is worth those. */
const NODE_ONLY: ReadonlySet<string> = new Set(['/debug/pprof/heap']);

/** The same pages, each for those it is for. */
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
  return async (question) => {
    if (isFromHere(question)) return route(question);
    if (asks === undefined) return text(403, FOR_THE_NODE);
    const token = bearerToken(question.authorization);
    const verdict = token === undefined ? 'unknown-token' : await asks({ ...request, token });
    return verdict === 'allowed' ? route(question) : refusal(verdict, request);
  };
};

const HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * The peer is loopback, and so is the name by which it calls, as a page in somebody's browser can make any name mean 127.0.0.1
 * (DNS rebinding). The node's own address does not do: whoever may set a reverse proxy of this node up could call by it.
 */
const isFromHere = ({ peer, host }: Question): boolean => {
  const address = parseIP(peer); // IPv4-mapped where one socket is for both families
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
