/** Discovery: version, health, API groups and resources, as far as clients request them. */
import { apiVersionOf, RESOURCE_TYPES, type ResourceType } from './resources.ts';

const VERSION = { major: '1', minor: '36', gitVersion: 'v1.36.0', platform: 'linux/amd64' };
const HEALTH_PATHS: ReadonlySet<string> = new Set(['/healthz', '/livez', '/readyz']);
const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

const group = (name: string): unknown => {
  const versions = [...new Set(RESOURCE_TYPES.filter((type) => type.group === name).map(apiVersionOf))].map(
    (groupVersion) => ({ groupVersion, version: groupVersion.split('/').at(-1) }),
  );
  return { kind: 'APIGroup', apiVersion: 'v1', name, versions, preferredVersion: versions[0] };
};

const resourceList = (types: readonly ResourceType[], groupVersion: string): unknown => ({
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion,
  resources: types.map(({ plural, kind, namespaced }) => ({
    name: plural,
    singularName: kind.toLowerCase(),
    namespaced,
    kind,
    verbs: VERBS,
  })),
});

/** Body for a path, plain text or JSON; undefined for other paths. */
export const describeServer = (path: string): unknown => {
  const trimmed = path.replace(/\/$/, '');
  if (HEALTH_PATHS.has(trimmed)) return 'ok';
  if (trimmed === '/version') return VERSION;
  if (trimmed === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  const groups = [...new Set(RESOURCE_TYPES.map((type) => type.group))].filter((name) => name !== '');
  if (trimmed === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(group) };
  const named = groups.find((name) => trimmed === `/apis/${name}`);
  if (named !== undefined) return group(named);
  const types = RESOURCE_TYPES.filter(
    (type) => trimmed === (type.group === '' ? `/api/${type.version}` : `/apis/${apiVersionOf(type)}`),
  );
  return types[0] === undefined ? undefined : resourceList(types, apiVersionOf(types[0]));
};
