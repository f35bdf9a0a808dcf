/**
 * The kinds of value that only one or two settings have: server addresses, feature gates, vmodule, the source.
 *
 * Same rules as in kinds.ts: a kind answers undefined for what it does not accept.
 */

import { joinHostPort } from '../model/address.ts';
import { isRecord } from '../model/record.ts';
import type { Source, VmoduleItem } from './config.ts';
import { integer, ip, type Kind, matching, parseBoolean, textual } from './kinds.ts';

/** Where a server listens. Without a port the usual one is meant. */
export interface ServerAddress {
  readonly ip: string;
  readonly port: number | undefined;
}

const portNumber = integer(1, 65_535);

/** Splits `ip`, `ip:port` or `[ip]:port`; undefined for anything else, a host name too. */
export const parseServerAddress = (given: string): ServerAddress | undefined => {
  const alone = ip.fromText(given);
  if (alone !== undefined) return { ip: alone, port: undefined };
  const [, host = '', digits = ''] = /^(\[.*\]|[^:]*):(\d+)$/.exec(given) ?? [];
  const address = ip.fromText(host);
  const port = portNumber.fromText(digits);
  return address === undefined || port === undefined ? undefined : { ip: address, port };
};

export const serverAddress: Kind<ServerAddress> = textual(
  'an IP address with a port from 1 to 65535, such as 0.0.0.0:10256',
  'ip:port',
  parseServerAddress,
  (value) => (value.port === undefined ? value.ip : joinHostPort(value.ip, value.port)),
);

/** Empty items are no mistake to Kubernetes: people end such lists with a comma. */
const words = (given: string): readonly string[] => given.split(',').filter((word) => word.trim() !== '');

const GATE = /^([A-Za-z][A-Za-z0-9]*)=(.*)$/;

type Gates = Readonly<Record<string, boolean>>;

export const gates: Kind<Gates> = {
  expected: 'feature gates, each true or false (Name=true,Other=false)',
  placeholder: 'gates',
  emptyIsUnset: true,
  fromText: (given) => {
    const pairs = words(given).map((pair) => {
      const [, name = '', word = ''] = GATE.exec(pair.trim()) ?? [];
      return [name, parseBoolean(word.trim())] as const;
    });
    return gatesOf(pairs);
  },
  fromData: (data) => (isRecord(data) ? gatesOf(Object.entries(data)) : undefined),
  format: (value) =>
    Object.entries(value)
      .map(([name, on]) => `${name}=${on}`)
      .join(','),
  join: (earlier, later) => ({ ...earlier, ...later }),
};

const gatesOf = (pairs: readonly (readonly [string, unknown])[]): Gates | undefined =>
  pairs.every((pair): pair is readonly [string, boolean] => pair[0] !== '' && typeof pair[1] === 'boolean')
    ? Object.fromEntries(pairs)
    : undefined;

const verbosity = integer(0, 2_147_483_647);

const itemOf = (filePattern: unknown, level: unknown): VmoduleItem | undefined => {
  const parsed = typeof level === 'string' ? verbosity.fromText(level) : verbosity.fromData(level);
  if (typeof filePattern !== 'string' || filePattern === '' || parsed === undefined) return undefined;
  return { filePattern, verbosity: parsed };
};

const itemsOf = (given: readonly (VmoduleItem | undefined)[]): readonly VmoduleItem[] | undefined =>
  given.every((item): item is VmoduleItem => item !== undefined) ? given : undefined;

const isItem = (data: unknown): data is { readonly filePattern?: unknown; readonly verbosity?: unknown } =>
  isRecord(data) && Object.keys(data).every((key) => key === 'filePattern' || key === 'verbosity');

export const vmodule: Kind<readonly VmoduleItem[]> = {
  expected: 'items of a file pattern and a level (pattern=2 as a flag, {filePattern, verbosity} in a file)',
  placeholder: 'pattern=N,...',
  emptyIsUnset: true,
  fromText: (given) =>
    itemsOf(
      words(given).map((item) => {
        const [, pattern, level] = /^(.*)=(.*)$/.exec(item) ?? [];
        return itemOf(pattern, level);
      }),
    ),
  fromData: (data) =>
    Array.isArray(data)
      ? itemsOf(
          data.map((item: unknown) =>
            isItem(item) && typeof item.verbosity === 'number' ? itemOf(item.filePattern, item.verbosity) : undefined,
          ),
        )
      : undefined,
  format: (value) => value.map((item) => `${item.filePattern}=${item.verbosity}`).join(','),
  join: (earlier, later) => [...earlier, ...later],
};

const quantityText = matching(
  /^\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/,
  'a size in bytes, such as 0 or 64Ki',
  'size',
);

/** A Kubernetes quantity, kept as text: a number in YAML is one too. */
export const quantity: Kind<string> = {
  ...quantityText,
  fromData: (data) => quantityText.fromData(typeof data === 'number' ? String(data) : data),
};

const TAINT_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** Just the key: no value, and no effect. */
export const taintKey: Kind<string> = matching(TAINT_KEY, 'the key of a taint, such as example.com/not-ready', 'key');

/** 32 bits, at least one of them set. */
export const bitMask: Kind<number> = textual(
  'bits of a packet mark, such as 0x1f7f',
  'mask',
  (given) => {
    const mask = /^(0[xX][0-9a-fA-F]{1,8}|[1-9]\d{0,9})$/.test(given) ? Number(given) : 0;
    return mask > 0 && mask <= 0xffff_ffff ? mask : undefined;
  },
  (value) => `0x${value.toString(16)}`,
);

export const source: Kind<Source> = textual<Source>(
  'apiserver, or files:DIR',
  'source',
  (given) => {
    if (given === 'apiserver') return { kind: 'apiserver' };
    const [, dir] = /^files:(.+)$/s.exec(given) ?? [];
    return dir === undefined ? undefined : { kind: 'files', dir };
  },
  (value) => (value.kind === 'files' ? `files:${value.dir}` : value.kind),
);
