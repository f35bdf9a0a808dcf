/** Endpoint of an API server: its URL, the client's identity, the CA; and the pool of connections to it. */

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http, { type Agent } from 'node:http';
import https from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { describeError, type Log } from '../source.ts';

/** TLS options of cluster configurations. */
export interface Tls {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface Identity {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: Tls;
}

export interface ApiEndpoint {
  readonly server: URL;
  /** Credentials by files and plugins, read now. */
  identify(): Promise<Identity>;
  /** Drops cached credentials after status 401. */
  forget(): void;
  /** Creates a pool of connections through an HTTP proxy. */
  readonly proxy?: (tls: Tls) => Promise<Agent>;
}

export const createAgent = async (endpoint: ApiEndpoint, tls: Tls): Promise<Agent> => {
  if (endpoint.proxy !== undefined) return endpoint.proxy(tls);
  return endpoint.server.protocol === 'http:'
    ? new http.Agent({ keepAlive: true })
    : new https.Agent({ keepAlive: true, ...tls });
};

/** Closes idle sockets and keeps none from now on; requests under way finish. */
export const retireAgent = (agent: Agent): void => {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
};

/** Throws when the CA is no certificate, or certificate and key are no pair. Node.js accepts any text as a CA. */
export const checkTls = (tls: Tls, source: string): void => {
  if (tls.ca !== undefined) attempt(`${source}: the certificate authority is no PEM certificate`, () => parse(tls.ca));
  const { cert, key } = tls;
  if ((cert === undefined) !== (key === undefined)) {
    throw new Error(
      `${source}: a client ${cert === undefined ? 'key without a certificate' : 'certificate without a key'}`,
    );
  }
  const options: SecureContextOptions = cert === undefined || key === undefined ? {} : { cert, key };
  attempt(`${source}: client certificate and key are no usable pair`, () => createSecureContext(options));
};

const parse = (pem: string | Buffer = ''): void => {
  void new X509Certificate(pem);
};

const attempt = (complaint: string, action: () => void): void => {
  try {
    action();
  } catch (error) {
    throw new Error(`${complaint}: ${describeError(error)}`, { cause: error });
  }
};

export const readServerUrl = (text: string, source: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  throw new Error(`${source}: ${JSON.stringify(text)} is no http:// or https:// URL`);
};

/**
 * Bearer token of a file that is rotated: read for each request; the last token is used while the file cannot be read.
 */
export const tokenFile = (path: string, log: Log): (() => Promise<string>) => {
  let last = '';
  return async () => {
    try {
      const text = (await readFile(path, 'utf8')).trim();
      if (text === '') throw new Error('the file is empty');
      last = text;
    } catch (error) {
      if (last === '') throw new Error(`token file ${path}: ${describeError(error)}`, { cause: error });
      log.warn({ path, error: describeError(error) }, 'the token file cannot be read, using the last token');
    }
    return last;
  };
};
