/**
 * The configuration as the file that would give it: KubeProxyConfiguration v1alpha1.
 *
 * For `--write-config-to` and for whoever asks a running process. Leaves out what no file can say.
 */
import { isRecord } from '../model/record.ts';
import type { Config, ProxyConfig } from './config.ts';
import { formatDuration } from './duration.ts';
import { API_VERSION, KIND } from './file.ts';

/** `syncPeriodMs: 30000` → `syncPeriod: 30s`. An undefined period is one that nobody set, which a file writes as 0s. */
const toFileShape = (value: unknown): unknown => {
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key.endsWith('Ms') && (typeof inner === 'number' || inner === undefined)
        ? [key.slice(0, -2), formatDuration(inner ?? 0)]
        : [key, toFileShape(inner)],
    ),
  );
};

const proxyPart = (config: Config): ProxyConfig => {
  const { master: _master, cleanup: _cleanup, initOnly: _initOnly, ...rest } = config;
  const { writeConfigTo: _writeConfigTo, configFile: _configFile, ...without } = rest;
  const { profile: _profile, pointsman: _pointsman, ...proxy } = without;
  return proxy;
};

/** Plain data, ready for JSON: the object that the file would hold. */
export const toV1alpha1 = (config: Config): Readonly<Record<string, unknown>> => ({
  apiVersion: API_VERSION,
  kind: KIND,
  ...(toFileShape({ ...proxyPart(config), clusterCIDR: config.clusterCIDR.join(',') }) as object),
});

/** The same as YAML. */
export const toYaml = async (config: Config): Promise<string> => (await import('yaml')).stringify(toV1alpha1(config));
