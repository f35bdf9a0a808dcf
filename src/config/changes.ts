/** How two configurations differ, said in the words of the configuration file. */

import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../model/record.ts';
import type { Config } from './config.ts';

import { toV1alpha1 } from './write.ts';

/** `mode: "iptables" → "nftables"`, one for each setting that differs; none when they are the same. */
export const changesBetween = (from: Config, to: Config): readonly string[] => {
  const [before, after] = [leaves(toV1alpha1(from)), leaves(toV1alpha1(to))];
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((path) => {
    const [was, is] = [before.get(path), after.get(path)];
    return isDeepStrictEqual(was, is) ? [] : [`${path}: ${spell(was)} → ${spell(is)}`];
  });
};

/** Every setting by its path. */
const leaves = (value: unknown, path = ''): ReadonlyMap<string, unknown> =>
  isRecord(value)
    ? new Map(Object.entries(value).flatMap(([key, inner]) => [...leaves(inner, path === '' ? key : `${path}.${key}`)]))
    : new Map([[path, value]]);

const spell = (value: unknown): string => JSON.stringify(value) ?? 'unset';
