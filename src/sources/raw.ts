/**
 * Objects as they come off the wire or out of a file: JSON of which nothing is certain yet.
 */
import { isRecord } from '../model/record.ts';

export type RawObject = Readonly<Record<string, unknown>>;

/** The value at a path of fields; undefined as soon as something on the way is no object. */
export const dig = (value: unknown, ...path: readonly string[]): unknown => {
  let at = value;
  for (const field of path) {
    if (!isRecord(at)) return undefined;
    at = at[field];
  }
  return at;
};

/** The text at a path; empty when there is none. */
export const digText = (value: unknown, ...path: readonly string[]): string => {
  const found = dig(value, ...path);
  return typeof found === 'string' ? found : '';
};

/** Drops who-wrote-what bookkeeping: up to half of an object, and nobody here reads it. Changes the object itself. */
export const dropManagedFields = (object: RawObject): void => {
  const metadata = object.metadata;
  if (isRecord(metadata)) delete metadata.managedFields;
};
