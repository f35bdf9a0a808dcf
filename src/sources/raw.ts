/** Unvalidated JSON of objects, from an API server or a file. */

export type RawObject = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Value at a path of fields; undefined when a value on the path is no object. */
export const dig = (value: unknown, ...path: readonly string[]): unknown => {
  let at = value;
  for (const field of path) {
    if (!isRecord(at)) return undefined;
    at = at[field];
  }
  return at;
};

/** Text at a path; empty when there is none. */
export const digText = (value: unknown, ...path: readonly string[]): string => {
  const found = dig(value, ...path);
  return typeof found === 'string' ? found : '';
};

/** Deletes `metadata.managedFields` in place: up to half of an object, and unused here. */
export const dropManagedFields = (object: RawObject): void => {
  const metadata = object.metadata;
  if (isRecord(metadata)) delete metadata.managedFields;
};
