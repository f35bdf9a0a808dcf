/** Label and field selectors: text in, predicate out. Malformed selectors are refused as in the real server. */
import { fullName, type ResourceType } from './resources.ts';
import { badRequest } from './status.ts';
import type { StoredObject } from './store.ts';

export type Selector = (object: StoredObject) => boolean;

type Labels = Readonly<Record<string, string>>;

const KEY = '([A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?)';
const EXISTS = new RegExp(`^(!?)\\s*${KEY}$`);
const EQUALS = new RegExp(`^${KEY}\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`);
const IN = new RegExp(`^${KEY}\\s+(in|notin)\\s*\\(([^()]*)\\)$`);

const labelRequirement = (text: string): ((labels: Labels) => boolean) => {
  const exists = EXISTS.exec(text);
  if (exists !== null) {
    const [, not, key = ''] = exists;
    return (labels) => Object.hasOwn(labels, key) === (not === '');
  }
  const equals = EQUALS.exec(text);
  if (equals !== null) {
    const [, key = '', operator, value] = equals;
    return (labels) => (labels[key] === value) === (operator !== '!=');
  }
  const within = IN.exec(text);
  if (within !== null) {
    const [, key = '', operator, list = ''] = within;
    const values = new Set(list.split(',').map((value) => value.trim()));
    return (labels) => (labels[key] !== undefined && values.has(labels[key])) === (operator === 'in');
  }
  throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
};

/** Splits requirements at commas, except within the parentheses of `in (a,b)`. */
const splitRequirements = (text: string): readonly string[] =>
  text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');

const fieldOf = (object: unknown, path: string): string => {
  let value = object;
  for (const part of path.split('.')) value = (value as Record<string, unknown> | undefined | null)?.[part];
  return value === undefined || value === null ? '' : String(value);
};

const fieldRequirement = (text: string, type: ResourceType): Selector => {
  const match = /^([A-Za-z.]+)(==|=|!=)(.*)$/.exec(text);
  if (match === null) throw badRequest(`invalid field selector: ${JSON.stringify(text)}`);
  const [, path = '', operator, value] = match;
  if (!type.fields.includes(path)) throw badRequest(`field label not supported for ${fullName(type)}: ${path}`);
  return (object) => (fieldOf(object, path) === value) === (operator !== '!=');
};

/** Selection of a list or watch: namespace, name, labels and fields. */
export const readSelector = (
  type: ResourceType,
  namespace: string,
  query: Readonly<Record<string, string>>,
): Selector => {
  const labels = splitRequirements(query.labelSelector ?? '').map(labelRequirement);
  const fields = splitRequirements(query.fieldSelector ?? '').map((text) => fieldRequirement(text, type));
  return (object) =>
    (namespace === '' || object.metadata.namespace === namespace) &&
    labels.every((matches) => matches(object.metadata.labels ?? {})) &&
    fields.every((matches) => matches(object));
};
