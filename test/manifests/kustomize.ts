/**
 * What kustomize makes of a folder, as far as our manifests use it: resources, components, config maps from files, strategic merge
 * patches and JSON patches, a namespace. A field that is not known here is an error, so that nothing is used that is not checked.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { jsonPatch } from '../../src/lab/apiserver/json-patch.ts';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Data };
  readonly [field: string]: unknown;
}

type Data = Readonly<Record<string, unknown>>;

interface Generator {
  readonly name: string;
  readonly behavior?: 'create' | 'merge';
  readonly files: readonly string[];
  readonly options?: { readonly labels?: Data };
}

interface Patch {
  readonly path: string;
  /** Whom a JSON patch is for; the other ones say it themselves. */
  readonly target?: { readonly kind: string; readonly name: string };
}

interface Kustomization {
  readonly kind: 'Kustomization' | 'Component';
  readonly namespace?: string;
  readonly resources?: readonly string[];
  readonly components?: readonly string[];
  readonly configMapGenerator?: readonly Generator[];
  readonly generatorOptions?: { readonly disableNameSuffixHash?: boolean };
  readonly patches?: readonly Patch[];
}

const FIELDS: ReadonlySet<string> = new Set([
  ...[
    'apiVersion',
    'kind',
    'namespace',
    'resources',
    'components',
    'configMapGenerator',
    'generatorOptions',
    'patches',
  ],
]);
/** Of a whole cluster, so that a namespace means nothing to them. */
const CLUSTER_WIDE: ReadonlySet<string> = new Set(['ClusterRole', 'ClusterRoleBinding']);
/** In the order in which they are to be made: what others refer to comes first. */
const ORDER = ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'ConfigMap', 'DaemonSet'];

/** The documents of a file. Throws where YAML is wrong, also in what other readers would let pass. */
export const readManifests = (file: string): readonly Manifest[] =>
  parseAllDocuments(readFileSync(file, 'utf8'), { strict: true, uniqueKeys: true }).map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw new Error(`${file}: ${problem.message}`);
    return document.toJS() as Manifest;
  });

/** What `kubectl apply -k` of this folder would apply. Throws where a file or the target of a patch is missing. */
export const build = (folder: string): readonly Manifest[] => buildUpon([], folder, 'Kustomization');

/** A component works on what is there already. */
const buildUpon = (given: readonly Manifest[], folder: string, kind: Kustomization['kind']): readonly Manifest[] => {
  const file = join(folder, 'kustomization.yaml');
  const [kustomization] = readManifests(file) as readonly unknown[] as readonly (Kustomization & Data)[];
  if (kustomization === undefined) throw new Error(`${file} is empty`);
  const unknown = Object.keys(kustomization).filter((field) => !FIELDS.has(field));
  if (unknown.length > 0) throw new Error(`${file}: ${unknown.join(', ')} is not known here`);
  if (kustomization.kind !== kind) throw new Error(`${file} is no ${kind}`);
  const { namespace, resources = [], components = [], patches = [] } = kustomization;
  const { configMapGenerator = [], generatorOptions } = kustomization;
  if (configMapGenerator.length > 0 && generatorOptions?.disableNameSuffixHash !== true) {
    throw new Error(`${file}: names with a hash are not known here`);
  }
  const read = components.reduce((objects, name) => buildUpon(objects, join(folder, name), 'Component'), [
    ...given,
    ...resources.flatMap((name) => load(join(folder, name))),
  ] as readonly Manifest[]);
  const generated = configMapGenerator.reduce<readonly Manifest[]>(
    (objects, generator) => generate(objects, generator, folder),
    read,
  );
  const patched = patches.reduce((objects, patch) => applyFile(objects, patch, folder), generated);
  const placed = namespace === undefined ? patched : patched.map((object) => inNamespace(object, namespace));
  return [...placed].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
};

const load = (path: string): readonly Manifest[] => (statSync(path).isDirectory() ? build(path) : readManifests(path));

const generate = (objects: readonly Manifest[], generator: Generator, folder: string): readonly Manifest[] => {
  const { name, behavior = 'create', files, options } = generator;
  // kustomize reads no file outside the folder
  const outside = files.find((file) => dirname(file) !== '.');
  if (outside !== undefined) throw new Error(`${folder}: ${outside} is not in this folder`);
  const data = Object.fromEntries(files.map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
  const labels = options?.labels === undefined ? {} : { labels: options.labels };
  const made: Manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...labels }, data };
  const found = objects.find((object) => isSame(object, made));
  if ((found !== undefined) !== (behavior === 'merge'))
    throw new Error(`${folder}: ConfigMap ${name}: not to ${behavior}`);
  return found === undefined
    ? [...objects, made]
    : objects.map((object) => (object === found ? mergeInto(object, made) : object));
};

const isSame = (a: Manifest, b: Manifest): boolean =>
  a.apiVersion === b.apiVersion && a.kind === b.kind && a.metadata.name === b.metadata.name;

const applyFile = (objects: readonly Manifest[], { path, target }: Patch, folder: string): readonly Manifest[] => {
  const patches = readManifests(join(folder, path));
  if (target === undefined) return patches.reduce(applyPatch, objects);
  const isMeant = ({ kind, metadata }: Manifest): boolean => kind === target.kind && metadata.name === target.name;
  if (!objects.some(isMeant)) throw new Error(`${folder}: there is no ${target.kind} ${target.name} to patch`);
  return objects.map((object) => (isMeant(object) ? patches.reduce(jsonPatch, object as unknown) : object) as Manifest);
};

const applyPatch = (objects: readonly Manifest[], patch: Manifest): readonly Manifest[] => {
  if (!objects.some((object) => isSame(object, patch))) {
    throw new Error(`there is no ${patch.kind} ${patch.metadata.name} to patch`);
  }
  return objects.map((object) => (isSame(object, patch) ? mergeInto(object, patch) : object));
};

const mergeInto = (object: Manifest, patch: Manifest): Manifest => merge(object, patch) as Manifest;

const isData = (value: unknown): value is Data => typeof value === 'object' && value !== null && !Array.isArray(value);
const isNamed = (value: unknown): value is { readonly name: string } => isData(value) && typeof value.name === 'string';

/** A list of things with names is merged by name, any other list is replaced: so Kubernetes merges what we patch. */
const merge = (value: unknown, patch: unknown): unknown => {
  if (isData(value) && isData(patch)) {
    const merged = Object.entries(patch).map(([key, part]) => [key, key in value ? merge(value[key], part) : part]);
    return { ...value, ...Object.fromEntries(merged) };
  }
  if (!(Array.isArray(value) && Array.isArray(patch) && patch.every(isNamed))) return patch;
  const missing = patch.find(({ name }) => !value.some((item) => isNamed(item) && item.name === name));
  if (missing !== undefined) throw new Error(`there is nothing with the name ${missing.name} to patch`);
  return value.map((item: unknown) => {
    const change = patch.find((part) => isNamed(item) && part.name === item.name);
    return change === undefined ? item : merge(item, change);
  });
};

const inNamespace = (object: Manifest, namespace: string): Manifest =>
  CLUSTER_WIDE.has(object.kind) ? object : { ...object, metadata: { ...object.metadata, namespace } };
