/** What an operator applies: it is what Kubernetes takes, asks for no more than is used, and holds a configuration of ours. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { PROXY_MODES, type ProxyMode } from '../../src/config/config.ts';
import { resourcesFor } from '../../src/sources/resources.ts';
import { loadLine } from '../config/loading.ts';
import { build, type Manifest, readManifests } from './kustomize.ts';
import { containersOf, type PodSpec, podOf } from './pod.ts';
import { unknownFields, validate } from './schemas.ts';

const root = fileURLToPath(new URL('../../manifests', import.meta.url));
const overlay = (mode: ProxyMode): readonly Manifest[] => build(`${root}/overlays/${mode}`);
const one = (manifests: readonly Manifest[], kind: string): Manifest => {
  const [found, ...more] = manifests.filter((manifest) => manifest.kind === kind);
  if (found === undefined || more.length > 0) throw new Error(`one ${kind} is expected, not ${more.length + 1}`);
  return found;
};
/** Read as it stands. */
const cleanup = readManifests(`${root}/cleanup.yaml`);
const pod = (mode: ProxyMode): PodSpec => podOf(one(overlay(mode), 'DaemonSet'));

describe('manifests', () => {
  it('are all read, and every file of theirs is used', () => {
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\.(ya?ml|conf)$/.test(name),
    );
    const texts = files.map((name) => readFileSync(`${root}/${name}`, 'utf8'));
    for (const name of files) {
      expect(readManifests(`${root}/${name}`).length, name).toBeGreaterThan(0);
      const last = name.split('/').at(-1) ?? '';
      const isApplied = last === 'kustomization.yaml' || !name.includes('/');
      expect(isApplied || texts.some((text) => text.includes(last)), name).toBe(true);
    }
  });

  it.each([...PROXY_MODES.map((mode) => `overlays/${mode}`), 'monitoring'])('%s is what Kubernetes takes', (folder) => {
    const manifests = build(`${root}/${folder}`);
    for (const manifest of manifests) validate(manifest);
    expect(
      manifests.every(({ kind, metadata }) => kind.startsWith('Cluster') || metadata.namespace === 'kube-system'),
    ).toBe(true);
  });

  it('have no field that does not exist', async () => {
    const all = [...PROXY_MODES.flatMap(overlay), ...build(`${root}/monitoring`), ...cleanup];
    expect(await unknownFields(all)).toBe('');
    const misspelt = JSON.parse(JSON.stringify(all).replace('"hostNetwork"', '"hostNetwerk"')) as readonly Manifest[];
    expect(await unknownFields(misspelt)).toContain('hostNetwerk');
  }, 60_000);

  it.each(PROXY_MODES)('for those without kustomize there is the same in one file: %s', async (mode) => {
    const documents = overlay(mode).map((manifest) => stringify(manifest, { lineWidth: 0 }));
    const text = [`# Made of overlays/${mode}, where the reasons are.\n`, documents.join('---\n')].join('');
    await expect(text).toMatchFileSnapshot(`../../manifests/pointsman-${mode}.yaml`);
  });
});

describe('the clean-up', () => {
  it('is what Kubernetes takes, and has the files, the image and the place of the proxy', () => {
    const daemonSet = one(cleanup, 'DaemonSet');
    validate(daemonSet);
    const spec = podOf(daemonSet);
    const proxy = pod('iptables');
    expect(spec.volumes).toEqual(proxy.volumes);
    const { tolerations, nodeSelector, hostNetwork } = proxy;
    expect(spec).toMatchObject({ tolerations, nodeSelector, hostNetwork });
    const [first] = spec.initContainers;
    expect(first?.volumeMounts).toEqual(proxy.initContainers[0]?.volumeMounts);
    expect(first?.command).toEqual([...(proxy.containers[0]?.command.slice(0, 2) ?? []), 'cleanup']);
    for (const { image } of containersOf(spec)) expect(image).toBe(proxy.containers[0]?.image);
  });
});

interface PageRule {
  readonly nonResourceURLs: readonly string[];
  readonly verbs: readonly string[];
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** `group/resource: verb verb`, as a role gives them. */
const rightsOf = (role: Manifest): readonly string[] =>
  (role as unknown as { readonly rules: readonly Rule[] }).rules
    .flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.map((resource) => `${group}/${resource}: ${verbs.join(' ')}`)),
    )
    .sort();

describe('rights', () => {
  it('are to list and watch what the program lists and watches, to write Events, and to ask about tokens', () => {
    const asked = resourcesFor('n').map(({ apiVersion, path }) => {
      const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
      return `${group}/${path.split('/').at(-1)}`;
    });
    const wanted = [
      ...asked.map((what) => `${what}: list watch`),
      'events.k8s.io/events: create patch',
      'authentication.k8s.io/tokenreviews: create',
      'authorization.k8s.io/subjectaccessreviews: create',
    ];
    expect(rightsOf(one(overlay('nftables'), 'ClusterRole'))).toEqual(wanted.sort());
  });

  it('of those who read pages are for pages that there are, and none that writes', () => {
    const roles = build(`${root}/monitoring`).filter(({ kind }) => kind === 'ClusterRole');
    const rules = roles.flatMap((role) => (role as unknown as { readonly rules: readonly PageRule[] }).rules);
    expect(new Set(rules.flatMap(({ verbs }) => verbs))).toEqual(new Set(['get']));
    const readme = readFileSync(`${root}/../src/observe/README.md`, 'utf8');
    for (const path of rules.flatMap(({ nonResourceURLs }) => nonResourceURLs)) expect(readme).toContain(`\`${path}`);
  });

  it('are bound to the account of the pod', () => {
    const manifests = overlay('nftables');
    const binding = one(manifests, 'ClusterRoleBinding') as unknown as {
      readonly roleRef: object;
      readonly subjects: object;
    };
    const account = one(manifests, 'ServiceAccount').metadata;
    expect(binding.roleRef).toMatchObject({ kind: 'ClusterRole', name: one(manifests, 'ClusterRole').metadata.name });
    expect(binding.subjects).toEqual([{ kind: 'ServiceAccount', name: account.name, namespace: account.namespace }]);
    expect(pod('nftables').serviceAccountName).toBe(account.name);
  });
});

describe('the start-up taint', () => {
  const component = `${root}/components/startup-taint`;
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'pointsman-overlay-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** As an operator would write it. */
  const withTaint = (mode: ProxyMode): readonly Manifest[] => {
    const path = (target: string): string => relative(folder, `${root}/${target}`);
    const kustomization = { resources: [path(`overlays/${mode}`)], components: [path('components/startup-taint')] };
    const text = stringify({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      namespace: 'kube-system',
      ...kustomization,
    });
    writeFileSync(join(folder, 'kustomization.yaml'), text);
    return build(folder);
  };

  it.each(PROXY_MODES)(
    'is what Kubernetes takes, and adds one argument and the rights for it, in mode %s',
    async (mode) => {
      const manifests = withTaint(mode);
      for (const manifest of manifests) validate(manifest);
      const { args = [] } = podOf(one(manifests, 'DaemonSet')).containers[0] ?? {};
      expect(args).toEqual([...(pod(mode).containers[0]?.args ?? []), '--startup-taint=pointsman.dev/not-ready']);
      const { config } = await loadLine(args.filter((argument) => !argument.startsWith('--config')));
      expect(config.pointsman.startupTaint).toBe('pointsman.dev/not-ready');
      const [own, added, ...more] = manifests.filter(({ kind }) => kind === 'ClusterRole');
      expect(more).toEqual([]);
      expect(own).toEqual(one(overlay(mode), 'ClusterRole'));
      expect(added === undefined ? [] : rightsOf(added)).toEqual(['/nodes: get patch']);
      const [bound, binding] = manifests.filter(({ kind }) => kind === 'ClusterRoleBinding');
      expect(binding).toMatchObject({ roleRef: { name: added?.metadata.name }, subjects: bound?.subjects });
    },
  );

  it('has no field that does not exist, and is no overlay of its own', async () => {
    expect(await unknownFields(withTaint('nftables'))).toBe('');
    expect(() => build(component)).toThrow('is no Kustomization');
  }, 60_000);
});

describe('the pod', () => {
  it.each([
    ['iptables', ['NET_ADMIN', 'NET_RAW']],
    ['ipvs', ['NET_ADMIN', 'NET_RAW']],
    ['nftables', ['NET_ADMIN']],
  ] as const)('in mode %s may do this and no more: %s', (mode, add) => {
    const [proxy] = pod(mode).containers;
    expect(proxy?.securityContext).toMatchObject({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add },
    });
  });

  it('may in mode nftables do what it may in mode iptables, for as long as rules of that are to be seen', () => {
    const [after, iptables] = ['nftables/after-iptables', 'iptables/capabilities'].map((name) =>
      readManifests(`${root}/overlays/${name}.yaml`),
    );
    expect(after).toEqual(iptables);
  });

  it('runs as a part of the node, wherever it may and before others', () => {
    expect(pod('nftables')).toMatchObject({
      hostNetwork: true,
      dnsPolicy: 'Default',
      priorityClassName: 'system-node-critical',
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ operator: 'Exists' }],
    });
  });

  it('mounts nothing that it has not, asks for memory and CPU, and has a limit on memory alone', () => {
    const { volumes } = pod('iptables');
    for (const { name, volumeMounts, resources } of containersOf(pod('iptables'))) {
      for (const mount of volumeMounts)
        expect(
          volumes.map((volume) => volume.name),
          name,
        ).toContain(mount.name);
      expect(Object.keys(resources)).toEqual(['requests', 'limits']);
      expect(Object.keys(resources.requests)).toEqual(['cpu', 'memory']);
      expect(resources.limits, name).toEqual({ memory: name === 'pointsman' ? '1536Mi' : '256Mi' });
    }
  });

  it('is of the version of the program', () => {
    const { version } = JSON.parse(readFileSync(`${root}/../package.json`, 'utf8')) as { readonly version: string };
    for (const { image } of containersOf(pod('ipvs'))) expect(image).toBe(`pointsman:${version}`);
  });

  it('is probed where the configuration has the health server, and scraped where it has the metrics server', async () => {
    const [proxy] = pod('nftables').containers;
    const { config } = await loadConfigOf('nftables');
    for (const probe of [proxy?.livenessProbe, proxy?.readinessProbe]) {
      expect(config.healthzBindAddress).toBe(`0.0.0.0:${probe?.httpGet.port}`);
    }
    expect(proxy?.livenessProbe).toMatchObject({ httpGet: { path: '/livez' } });
    const metrics = proxy?.ports.find(({ name }) => name === 'metrics');
    expect(config.metricsBindAddress.split(':').at(-1)).toBe(String(metrics?.containerPort));
    const { spec } = one(build(`${root}/monitoring`), 'PodMonitor') as unknown as {
      readonly spec: {
        readonly selector: { readonly matchLabels: object };
        readonly podMetricsEndpoints: readonly { readonly port: string }[];
      };
    };
    expect(spec.podMetricsEndpoints.map(({ port }) => port)).toEqual([metrics?.name]);
    expect(one(overlay('nftables'), 'DaemonSet')).toMatchObject({
      spec: { selector: spec.selector, template: { metadata: { labels: spec.selector.matchLabels } } },
    });
  });
});

/** As the pod loads it: its arguments, with the files of the ConfigMap where it is mounted. */
const loadConfigOf = (mode: ProxyMode, container = 0) => {
  const { data } = one(overlay(mode), 'ConfigMap') as unknown as { readonly data: Readonly<Record<string, string>> };
  const spec = pod(mode);
  const { args, volumeMounts } = containersOf(spec)[container] ?? { args: [], volumeMounts: [] };
  const mount = volumeMounts.find(({ name }) => name === 'config')?.mountPath;
  const files = Object.fromEntries(Object.entries(data).map(([name, text]) => [`${mount}/${name}`, text]));
  return loadLine(
    args.map((argument) => argument.replace('$(NODE_NAME)', 'node-1')),
    files,
  );
};

describe('the configuration', () => {
  it.each(PROXY_MODES)('is loaded without a warning: %s', async (mode) => {
    for (const container of [0, 1]) {
      const { config, warnings } = await loadConfigOf(mode, container);
      expect(warnings).toEqual([]);
      expect(config).toMatchObject({ mode, hostnameOverride: 'node-1', initOnly: container === 0 });
    }
  });

  it('names a kubeconfig that is beside it, with an address that nobody takes for a real one', async () => {
    const { config } = await loadConfigOf('ipvs');
    const { data } = one(overlay('ipvs'), 'ConfigMap') as unknown as {
      readonly data: Readonly<Record<string, string>>;
    };
    expect(config.clientConnection.kubeconfig).toBe('/var/lib/pointsman/kubeconfig.conf');
    expect(data['kubeconfig.conf']).toContain('server: https://API-SERVER:6443');
  });
});
