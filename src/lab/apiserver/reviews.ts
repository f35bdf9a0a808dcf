/**
 * Reviews, which are created and not stored: TokenReview gives the user of a token, SubjectAccessReview a permission,
 * as in the real server.
 */
import { isRecord } from '../../model/record.ts';
import type { JsonObject } from './json.ts';
import { badRequest, invalid } from './status.ts';

/** User with a token and permissions for non-resource URLs. */
export interface LabUser {
  readonly token: string;
  readonly name: string;
  readonly groups?: readonly string[];
  /** Rules as in a ClusterRole: `/metrics`, `/debug/*`, `*`. */
  readonly may?: readonly { readonly verbs: readonly string[]; readonly nonResourceURLs: readonly string[] }[];
}

type Review = (body: JsonObject, users: readonly LabUser[]) => JsonObject;

const specOf = (body: JsonObject): JsonObject => (isRecord(body.spec) ? body.spec : {});

const AUDIENCES = ['https://kubernetes.default.svc.cluster.local'];

const tokenReview: Review = (body, users) => {
  const { token } = specOf(body);
  if (typeof token !== 'string' || token === '')
    throw badRequest('token is required for TokenReview in authentication');
  const found = users.find((user) => user.token === token);
  const status =
    found === undefined
      ? { user: {}, error: '[invalid bearer token, Token has been invalidated]' }
      : { authenticated: true, user: identityOf(found), audiences: AUDIENCES };
  return { ...body, metadata: {}, status };
};

const identityOf = ({ name, groups = [] }: LabUser): JsonObject => ({
  username: name,
  uid: `uid-of-${name}`,
  groups: [...groups, 'system:authenticated'],
  extra: { 'authentication.kubernetes.io/credential-id': ['JTI=lab'] },
});

const accessReview: Review = (body, users) => {
  const { user, groups, resourceAttributes, nonResourceAttributes } = specOf(body);
  const has = (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 : Boolean(value));
  if (!has(user) && !has(groups))
    throw invalid('spec.user: Invalid value: "": at least one of user or group must be specified');
  if (isRecord(resourceAttributes) === isRecord(nonResourceAttributes)) {
    throw invalid('exactly one of nonResourceAttributes or resourceAttributes must be specified');
  }
  const allowed =
    isRecord(nonResourceAttributes) &&
    isAllowed(
      users.find(({ name }) => name === user),
      nonResourceAttributes,
    );
  return {
    ...body,
    metadata: {},
    status: allowed ? { allowed, reason: 'RBAC: allowed by a ClusterRoleBinding' } : { allowed },
  };
};

const isAllowed = (user: LabUser | undefined, { verb, path }: JsonObject): boolean =>
  user?.may?.some(
    ({ verbs, nonResourceURLs }) =>
      verbs.some((one) => one === '*' || one === verb) && nonResourceURLs.some((url) => isMatch(url, String(path))),
  ) ?? false;

const isMatch = (url: string, path: string): boolean =>
  url.endsWith('*') ? path.startsWith(url.slice(0, -1)) : url === path;

const REVIEWS: ReadonlyMap<string, { readonly resource: string; readonly kind: string; readonly review: Review }> =
  new Map([
    [
      '/apis/authentication.k8s.io/v1/tokenreviews',
      { resource: 'tokenreviews', kind: 'TokenReview', review: tokenReview },
    ],
    [
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      { resource: 'subjectaccessreviews', kind: 'SubjectAccessReview', review: accessReview },
    ],
  ]);

/** Review resource of a path; undefined for other paths. */
export const reviewResource = (path: string): string | undefined => REVIEWS.get(path)?.resource;

/** Answers a posted review. Throws StatusError. */
export const answerReview = (path: string, body: unknown, users: readonly LabUser[]): JsonObject => {
  const found = REVIEWS.get(path);
  if (found === undefined || !isRecord(body) || body.kind !== found.kind) {
    throw badRequest(`the object provided is unrecognized, expected ${found?.kind}`);
  }
  return found.review(body, users);
};
