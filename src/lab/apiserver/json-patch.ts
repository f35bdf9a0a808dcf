/** JSON Patch (RFC 6902), the operations test, add, remove and replace; applied as a whole or not at all. */

import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../../model/record.ts';
import type { JsonObject } from './json.ts';
import { badRequest, invalid } from './status.ts';

interface PatchOperation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

const isOperation = (value: unknown): value is PatchOperation =>
  isRecord(value) && typeof value.op === 'string' && typeof value.path === 'string' && value.path.startsWith('/');

/** Applies a patch. Throws 400 for a malformed one, 422 for one that does not apply. */
export const jsonPatch = (value: unknown, patch: unknown): unknown => {
  if (!Array.isArray(patch) || !patch.every(isOperation)) throw badRequest('the body is no list of patch operations');
  return patch.reduce<unknown>((result, operation) => apply(result, operation), value);
};

const apply = (value: unknown, operation: PatchOperation): unknown => {
  const steps = operation.path.slice(1).split('/');
  return change(value, steps.map(readStep), operation);
};

const readStep = (step: string): string => step.replaceAll('~1', '/').replaceAll('~0', '~');

const change = (value: unknown, [step = '', ...deeper]: readonly string[], operation: PatchOperation): unknown => {
  if (deeper.length === 0)
    return Array.isArray(value) ? inList(value, step, operation) : inObject(value, step, operation);
  const inner = Array.isArray(value) ? value[Number(step)] : isRecord(value) ? value[step] : undefined;
  if (inner === undefined) throw missing(operation);
  const changed = change(inner, deeper, operation);
  if (Array.isArray(value)) return value.with(Number(step), changed);
  return { ...(value as JsonObject), [step]: changed };
};

const inObject = (value: unknown, key: string, operation: PatchOperation): unknown => {
  if (!isRecord(value)) throw missing(operation);
  const isThere = Object.hasOwn(value, key);
  if (operation.op !== 'add' && !isThere) throw missing(operation);
  switch (operation.op) {
    case 'test':
      return tested(value, value[key], operation);
    case 'add':
    case 'replace':
      return { ...value, [key]: operation.value };
    case 'remove':
      return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
    default:
      throw badRequest(`operation ${operation.op} is not known here`);
  }
};

const inList = (list: readonly unknown[], step: string, operation: PatchOperation): unknown => {
  const index = step === '-' ? list.length : Number(step);
  const end = operation.op === 'add' ? list.length : list.length - 1;
  if (!Number.isInteger(index) || index < 0 || index > end) throw missing(operation);
  switch (operation.op) {
    case 'test':
      return tested(list, list[index], operation);
    case 'add':
      return list.toSpliced(index, 0, operation.value);
    case 'replace':
      return list.with(index, operation.value);
    case 'remove':
      return list.toSpliced(index, 1);
    default:
      throw badRequest(`operation ${operation.op} is not known here`);
  }
};

const tested = (whole: unknown, found: unknown, { path, value }: PatchOperation): unknown => {
  if (isDeepStrictEqual(found, value)) return whole;
  throw invalid(`the server rejected our request due to an error in our request: testing value ${path} failed`);
};

const missing = ({ op, path }: PatchOperation): Error =>
  invalid(`the server rejected our request due to an error in our request: ${op} operation does not apply: ${path}`);
