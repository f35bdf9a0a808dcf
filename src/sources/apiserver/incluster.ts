/** Endpoints without a kubeconfig: the cluster around this pod, and a bare URL. */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { describeError, type Log } from '../source.ts';
import { type ApiEndpoint, checkTls, type Identity, readServerUrl, tokenFile } from './endpoint.ts';

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Endpoint of the pod's own cluster: address in the environment, token and CA in the service account's folder. */
export const inClusterEndpoint = async (
  env: Readonly<Record<string, string | undefined>>,
  dir = SERVICE_ACCOUNT_DIR,
  log: Log,
): Promise<ApiEndpoint> => {
  const host = env.KUBERNETES_SERVICE_HOST ?? '';
  const port = env.KUBERNETES_SERVICE_PORT ?? '';
  if (host === '' || port === '') {
    throw new Error(
      'no API server: neither --kubeconfig nor --master is given, and KUBERNETES_SERVICE_HOST and ' +
        'KUBERNETES_SERVICE_PORT are not set, as they are in a pod',
    );
  }
  const server = readServerUrl(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`, 'KUBERNETES_SERVICE_HOST');
  const caPath = join(dir, 'ca.crt');
  const readToken = tokenFile(join(dir, 'token'), log);
  const identify = async (): Promise<Identity> => {
    const ca = await readFile(caPath).catch((error: unknown) => {
      throw new Error(`CA file ${caPath}: ${describeError(error)}`, { cause: error });
    });
    return { headers: { authorization: `Bearer ${await readToken()}` }, tls: { ca } };
  };
  checkTls((await identify()).tls, caPath);
  return { server, identify, forget: () => undefined };
};

/** Endpoint of a bare URL, such as that of `kubectl proxy`. */
export const masterEndpoint = (master: string): ApiEndpoint => ({
  server: readServerUrl(master, '--master'),
  identify: async () => ({ headers: {}, tls: {} }),
  forget: () => undefined,
});
