/**
 * Whether manifests are what Kubernetes takes: by the OpenAPI schemas for values, and by the types made of the same schemas for
 * names, as an API server drops a field that it does not know without a word.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PodMonitor, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, ServiceAccount } from 'kubernetes-models/v1';
import type { Manifest } from './kustomize.ts';

interface Kind {
  /** The module that has class and type. */
  readonly module: string;
  /** Throws what is wrong. */
  readonly validate: (manifest: Manifest) => void;
}

/** The library takes only what its types allow, and what is read from a file has no type. */
const untyped = <T>(manifest: Manifest): T => manifest as unknown as T;

const MONITORING = '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
const RBAC = 'kubernetes-models/rbac.authorization.k8s.io/v1';

const KINDS: Readonly<Record<string, Kind>> = {
  ServiceAccount: { module: 'kubernetes-models/v1', validate: (m) => new ServiceAccount(untyped(m)).validate() },
  ConfigMap: { module: 'kubernetes-models/v1', validate: (m) => new ConfigMap(untyped(m)).validate() },
  DaemonSet: { module: 'kubernetes-models/apps/v1', validate: (m) => new DaemonSet(untyped(m)).validate() },
  ClusterRole: { module: RBAC, validate: (m) => new ClusterRole(untyped(m)).validate() },
  ClusterRoleBinding: { module: RBAC, validate: (m) => new ClusterRoleBinding(untyped(m)).validate() },
  PodMonitor: { module: MONITORING, validate: (m) => new PodMonitor(untyped(m)).validate() },
  PrometheusRule: { module: MONITORING, validate: (m) => new PrometheusRule(untyped(m)).validate() },
};

const kindOf = ({ kind, metadata }: Manifest): Kind => {
  const known = KINDS[kind];
  if (known === undefined) throw new Error(`${metadata.name}: nothing is known here about a ${kind}`);
  return known;
};

/** Throws where a value is missing or of a wrong type. */
export const validate = (manifest: Manifest): void => {
  try {
    kindOf(manifest).validate(manifest);
  } catch (error) {
    const { kind, metadata } = manifest;
    throw new Error(`${kind} ${metadata.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
};

const root = fileURLToPath(new URL('../..', import.meta.url));
const OPTIONS = [
  '--noEmit',
  '--strict',
  '--skipLibCheck',
  '--module',
  'nodenext',
  '--target',
  'es2022',
  '--types',
  'node',
];

/** What the compiler says about fields that do not exist; empty when all do. */
export const unknownFields = async (manifests: readonly Manifest[]): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'pointsman-manifests-'));
  const lines = manifests.flatMap((manifest, i) => {
    const { module } = kindOf(manifest);
    return [
      `import type { I${manifest.kind} as T${i} } from '${module}';`,
      `export const m${i}: T${i} = ${JSON.stringify(manifest)};`,
    ];
  });
  try {
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await writeFile(join(folder, 'all.ts'), lines.join('\n'));
    await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), [...OPTIONS, 'all.ts'], { cwd: folder });
    return '';
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error);
  } finally {
    await rm(folder, { recursive: true });
  }
};
