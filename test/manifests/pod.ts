/** The pod of the DaemonSet, as far as tests look into it. */
import type { Manifest } from './kustomize.ts';

export interface Probe {
  readonly httpGet: { readonly port: number; readonly path: string };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: {
    readonly privileged: boolean;
    readonly capabilities?: { readonly add: readonly string[]; readonly drop: readonly string[] };
  };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly resources: Readonly<Record<'requests' | 'limits', Readonly<Record<string, string>>>>;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

export interface PodSpec {
  readonly serviceAccountName: string;
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly hostNetwork: boolean;
  readonly tolerations: readonly object[];
  readonly nodeSelector: Readonly<Record<string, string>>;
  readonly volumes: readonly { readonly name: string }[];
}

/** The manifest has been validated by its schema. */
export const podOf = (daemonSet: Manifest): PodSpec =>
  (daemonSet as unknown as { readonly spec: { readonly template: { readonly spec: PodSpec } } }).spec.template.spec;

/** In the order in which they run. */
export const containersOf = ({ initContainers, containers }: PodSpec): readonly Container[] => [
  ...initContainers,
  ...containers,
];
