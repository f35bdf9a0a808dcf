/** Servers, credentials in files and connections for each test of a file; all are gone after the test. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { stringify } from 'yaml';
import { ApiServer, type ApiServerOptions } from '../../../src/lab/apiserver/server.ts';
import {
  type ApiConnection,
  type ApiConnectionOptions,
  openConnection,
} from '../../../src/sources/apiserver/connection.ts';
import { collectLog } from '../support.ts';
import { makeAuthority, makeCertificate, type Pair } from './certificates.ts';

export interface KubeconfigParts {
  readonly cluster?: object;
  /** null: a context without a user. */
  readonly user?: object | null;
}

export interface Dialling {
  readonly dir: string;
  readonly server: ApiServer;
  readonly log: ReturnType<typeof collectLog>;
  listen(options?: ApiServerOptions): Promise<void>;
  /** Opens a connection in an empty environment. */
  dial(options: Partial<ApiConnectionOptions>): Promise<ApiConnection>;
  put(name: string, text: string): Promise<void>;
  /** A kubeconfig for this test's server. */
  writeKubeconfig(parts?: KubeconfigParts): Promise<string>;
}

export const useDialling = (): Dialling => {
  let dir = '';
  let server = new ApiServer();
  let log = collectLog();
  const open: ApiConnection[] = [];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pointsman-connection-'));
    log = collectLog();
  });
  afterEach(async () => {
    for (const connection of open.splice(0)) connection.close();
    await server.stop();
    await rm(dir, { recursive: true });
  });
  return {
    get dir() {
      return dir;
    },
    get server() {
      return server;
    },
    get log() {
      return log;
    },
    listen: async (options = {}) => {
      server = new ApiServer(options);
      await server.start();
    },
    dial: async (options) => {
      const connection = await openConnection({
        kubeconfig: '',
        master: '',
        version: '1.2.3',
        log,
        env: {},
        ...options,
      });
      open.push(connection);
      return connection;
    },
    put: (name, text) => writeFile(join(dir, name), text),
    writeKubeconfig: async ({ cluster = {}, user = {} } = {}) => {
      const file = join(dir, 'kubeconfig');
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'lab', cluster: { server: server.url, ...cluster } }],
        users: user === null ? [] : [{ name: 'me', user }],
        contexts: [{ name: 'here', context: { cluster: 'lab', ...(user === null ? {} : { user: 'me' }) } }],
        'current-context': 'here',
      };
      await writeFile(file, stringify(config));
      return file;
    },
  };
};

export interface Certificates {
  /** `old` and `new` are authorities; `old-server`, `old-client`, … are signed by them. */
  pair(name: string): Pair;
  /** A server with an authority's certificate, for anybody or for clients of an authority. */
  secure(authority?: string, clients?: string): ApiServerOptions;
}

export const useCertificates = (): Certificates => {
  const pairs = new Map<string, Pair>();
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pointsman-certificates-'));
    for (const authority of ['old', 'new']) {
      pairs.set(authority, await makeAuthority(dir, authority));
      for (const name of [`${authority}-server`, `${authority}-client`]) {
        pairs.set(name, await makeCertificate(dir, authority, name));
      }
    }
  });
  afterAll(() => rm(dir, { recursive: true }));
  const pair = (name: string): Pair => pairs.get(name) ?? { cert: '', key: '' };
  return {
    pair,
    secure: (authority = 'old', clients) => ({
      tls: { ...pair(`${authority}-server`), ...(clients === undefined ? {} : { clientCa: pair(clients).cert }) },
    }),
  };
};

const { signal } = new AbortController();

/** The status code of a request whose answer was read to its end. */
export const get = async (connection: ApiConnection, path = '/api/v1/nodes'): Promise<number | undefined> => {
  const response = await connection.request(path, { signal });
  for await (const _ of response);
  await new Promise(setImmediate); // the socket goes back to the pool
  return response.statusCode;
};

export const base64 = (text: string): string => Buffer.from(text).toString('base64');
