/** Pages /flagz and /statusz for people, as Kubernetes components have them (KEP-4827, KEP-4828). Their form may change. */
import { type Route, text } from './http.ts';

const NOTICE = 'For people: the form of this page may change, so no program should read it.';

/** Removes user and password from URLs. */
const shown = (value: string): string => value.replace(/:\/\/[^/]*@/g, '://');

/** Page of the flags that would give the configuration in force. */
export const flagzRoute =
  (flags: readonly { readonly name: string; readonly value: string }[]): Route =>
  () =>
    text(
      200,
      ['pointsman flagz', NOTICE, '', ...flags.map(({ name, value }) => `${name}=${shown(value)}`), ''].join('\n'),
    );

export interface StatuszOptions {
  readonly version: string;
  readonly mode: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Milliseconds since 1970. */
  readonly configuredAt: number;
  /** Paths of all pages. */
  readonly paths: () => readonly string[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export const statuszRoute =
  ({ version, mode, startedAt, configuredAt, paths, now }: StatuszOptions): Route =>
  () =>
    text(
      200,
      [
        'pointsman statusz',
        NOTICE,
        '',
        `Started: ${new Date(startedAt).toISOString()}`,
        `Up: ${upTime(now() - startedAt)}`,
        `Configuration in force since: ${new Date(configuredAt).toISOString()}`,
        `Version: ${version}`,
        `Node.js: ${process.version} ${process.platform}/${process.arch}`,
        `Proxy mode: ${mode}`,
        `Paths: ${[...new Set(paths().map(firstSegment))].sort().join(' ')}`,
        '',
      ].join('\n'),
    );

const firstSegment = (path: string): string => `/${path.split('/')[1] ?? ''}`;

const SECONDS_IN_HOUR = 3_600;

const upTime = (ms: number): string => {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const minutes = Math.floor((seconds % SECONDS_IN_HOUR) / 60);
  return `${Math.floor(seconds / SECONDS_IN_HOUR)} h ${minutes} min ${seconds % 60} s`;
};
