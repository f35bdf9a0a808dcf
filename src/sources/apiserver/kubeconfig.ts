/**
 * Endpoint of a kubeconfig file, with the client library's KubeConfig for exec plugins, OIDC and proxies.
 *
 * Adds what the library lacks: errors that name file and field, `tokenFile`, commands relative to the file, plain http,
 * contexts without a user. The library is loaded with this module, so import it lazily.
 */

import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import type { RequestOptions } from 'node:https';
import { dirname, isAbsolute, resolve } from 'node:path';
import { type Cluster, KubeConfig, type User } from '@kubernetes/client-node';
import { isRecord } from '../../model/record.ts';
import { dig, digText } from '../raw.ts';
import { describeError, type Log } from '../source.ts';
import { type ApiEndpoint, checkTls, type Identity, readServerUrl, type Tls, tokenFile } from './endpoint.ts';

interface Context {
  readonly cluster: Cluster;
  readonly user: User;
  /** Absolute path of `tokenFile`; empty = none. */
  readonly tokenFile: string;
}

export const kubeconfigEndpoint = async (file: string, master: string, log: Log): Promise<ApiEndpoint> => {
  const source = `kubeconfig ${file}`;
  const { cluster, user, tokenFile: tokenPath } = await readKubeconfig(file);
  const server = readServerUrl(
    master === '' ? cluster.server : master,
    master === '' ? `${source}: server` : '--master',
  );
  const readToken = tokenPath === '' ? undefined : tokenFile(tokenPath, log);
  const load = (): KubeConfig => loadSingle(cluster, user, server);
  let config = load();
  const identify = async (): Promise<Identity> => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    const identity = readIdentity(options);
    if (readToken === undefined) return identity;
    return { ...identity, headers: { ...identity.headers, authorization: `Bearer ${await readToken()}` } };
  };
  await checkFiles(source, cluster, user, server);
  await readToken?.().catch((error: unknown) => {
    throw new Error(`${source}: ${describeError(error)}`, { cause: error });
  });
  const { proxyUrl } = cluster;
  return {
    server,
    identify,
    forget: () => {
      config = load();
    },
    ...(proxyUrl === undefined ? {} : { proxy: (tls: Tls) => proxyAgent(server, proxyUrl, tls) }),
  };
};

/**
 * Checks files and certificates. Plugins do not run yet: they may need a network that is not up, and their failures are
 * temporary.
 */
const checkFiles = async (source: string, cluster: Cluster, user: User, server: URL): Promise<void> => {
  const { exec: _exec, authProvider: _authProvider, ...withoutPlugins } = user;
  const options: RequestOptions = {};
  try {
    await loadSingle(cluster, withoutPlugins, server).applyToHTTPSOptions(options);
  } catch (error) {
    throw new Error(`${source}: ${describeError(error)}`, { cause: error });
  }
  checkTls(readIdentity(options).tls, source);
};

/**
 * KubeConfig of one cluster and one user. The library skips the CA of a context without a user, and refuses plain http.
 */
const loadSingle = ({ proxyUrl: _, ...cluster }: Cluster, user: User, server: URL): KubeConfig => {
  const config = new KubeConfig();
  const skipTLSVerify = cluster.skipTLSVerify || server.protocol === 'http:';
  config.loadFromClusterAndUser({ ...cluster, server: server.href, skipTLSVerify }, user);
  return config;
};

const readIdentity = ({ headers, auth, ca, cert, key, servername, rejectUnauthorized }: RequestOptions): Identity => {
  const basic = typeof auth === 'string' ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
  const named = Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]);
  const tls = { ca, cert, key, servername, rejectUnauthorized };
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
  return { headers: { ...basic, ...Object.fromEntries(named) }, tls: given as Tls };
};

/**
 * Agent for a proxy, as the library chooses it by scheme; keep-alive is set here, as the library's closes the
 * connection after each request.
 */
const proxyAgent = async (server: URL, proxyUrl: string, tls: Tls): Promise<Agent> => {
  const base64 = (data: string | Buffer | undefined) =>
    data === undefined ? undefined : Buffer.from(data).toString('base64');
  const [caData, certData, keyData] = [base64(tls.ca), base64(tls.cert), base64(tls.key)];
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: 'proxied',
      server: server.href,
      proxyUrl,
      skipTLSVerify: tls.rejectUnauthorized === false,
      ...(caData === undefined ? {} : { caData }),
      ...(tls.servername === undefined ? {} : { tlsServerName: tls.servername }),
    },
    { name: 'proxied', ...(certData === undefined ? {} : { certData }), ...(keyData === undefined ? {} : { keyData }) },
  );
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  return Object.assign(options.agent as Agent, { keepAlive: true });
};

const readKubeconfig = async (file: string): Promise<Context> => {
  const fail = (what: string, cause?: unknown): never => {
    throw new Error(`kubeconfig ${file}: ${what}`, { cause });
  };
  const text = await readFile(file, 'utf8').catch((error: unknown) => fail(describeError(error), error));
  const parsed = await parseYaml(text).catch((error: unknown) =>
    fail(describeError(error).split('\n')[0] ?? '', error),
  );
  if (!isRecord(parsed)) return fail('not a mapping of clusters, users and contexts');
  const name = digText(parsed, 'current-context') || fail('current-context is missing');
  const find = (list: string, part: string, wanted: string, wantedBy: string): unknown => {
    const entries = parsed[list];
    const entry = Array.isArray(entries)
      ? entries.find((candidate) => digText(candidate, 'name') === wanted)
      : undefined;
    return entry === undefined ? fail(`${wantedBy} ${JSON.stringify(wanted)} is not among ${list}`) : dig(entry, part);
  };
  const context = find('contexts', 'context', name, 'current-context');
  const cluster = find('clusters', 'cluster', digText(context, 'cluster'), `the cluster of context ${name}:`);
  if (digText(cluster, 'server') === '') fail(`cluster ${digText(context, 'cluster')} has no server`);
  const userName = digText(context, 'user');
  const user = userName === '' ? {} : find('users', 'user', userName, `the user of context ${name}:`);
  return resolveContext(dirname(resolve(file)), cluster, user);
};

const parseYaml = async (text: string): Promise<unknown> => (await import('yaml')).parse(text);

/** Chosen cluster and user in the library's form, with absolute paths. */
const resolveContext = (dir: string, cluster: unknown, user: unknown): Context => {
  const config = new KubeConfig();
  config.loadFromString(
    JSON.stringify({
      clusters: [{ name: 'cluster', cluster }],
      users: [{ name: 'user', user }],
      contexts: [{ name: 'context', context: { cluster: 'cluster', user: 'user' } }],
      'current-context': 'context',
    }),
  );
  config.makePathsAbsolute(dir);
  const [parsedCluster, parsedUser] = [config.getCurrentCluster(), config.getCurrentUser()];
  if (parsedCluster === null || parsedUser === null) throw new Error('the client library did not take the context');
  const path = digText(user, 'tokenFile');
  return {
    cluster: parsedCluster,
    user: isRecord(parsedUser.exec) ? { ...parsedUser, exec: resolveExec(dir, parsedUser.exec, cluster) } : parsedUser,
    tokenFile: path === '' ? '' : resolve(dir, path),
  };
};

/**
 * Exec plugin: a command with a slash is relative to the kubeconfig, and KUBERNETES_EXEC_INFO tells the plugin what is
 * requested.
 */
const resolveExec = (dir: string, exec: Record<string, unknown>, cluster: unknown): unknown => {
  const command = digText(exec, 'command');
  const info = {
    apiVersion: exec.apiVersion ?? 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    spec: { interactive: false, ...(exec.provideClusterInfo === true ? { cluster } : {}) },
  };
  return {
    ...exec,
    command: command.includes('/') && !isAbsolute(command) ? resolve(dir, command) : command,
    env: [...(Array.isArray(exec.env) ? exec.env : []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }],
  };
};
