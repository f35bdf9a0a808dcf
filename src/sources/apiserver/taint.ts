/**
 * Removes a taint of a Node without reverting concurrent changes: the JSON Patch tests the list of taints that it was
 * made for, and the server refuses it when the list differs.
 */

import { pause } from '../../dataplane/pause.ts';
import { isRecord } from '../../model/record.ts';
import { dig, digText } from '../raw.ts';
import type { Log } from '../source.ts';
import { createBackoff } from './backoff.ts';
import type { ApiConnection } from './connection.ts';
import { createRateLimitedLog } from './rate-limited-log.ts';
import { patch, read } from './write.ts';

export interface TaintTiming {
  /** Time-out of one request. */
  readonly withinMs: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
}

export interface TaintOptions {
  readonly connection: ApiConnection;
  readonly nodeName: string;
  /** Key of the taint; value and effect do not matter. */
  readonly key: string;
  readonly log: Log;
  readonly timing?: Partial<TaintTiming>;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
  readonly random?: () => number;
}

const DEFAULT_TIMING: TaintTiming = { withinMs: 10_000, backoffFirstMs: 500, backoffMaxMs: 30_000 };
const HEALTHY_MS = 120_000;
const REPEAT_LOG_MS = 600_000;

/** Taints of an unvalidated Node. */
export const taintsOf = (node: unknown): readonly unknown[] => {
  const taints = dig(node, 'spec', 'taints');
  return Array.isArray(taints) ? taints : [];
};

export const hasTaint = (node: unknown, key: string): boolean => taintsOf(node).some((taint) => isOf(taint, key));

const isOf = (taint: unknown, key: string): boolean => isRecord(taint) && taint.key === key;

/**
 * Removes the taint; resolves with true when it was removed, false when it was absent or on abort. Errors are logged
 * and retried without end.
 */
export const removeTaint = async (options: TaintOptions, signal: AbortSignal): Promise<boolean> => {
  const { nodeName: node, key, log, now = () => performance.now(), random = Math.random } = options;
  const timing = { ...DEFAULT_TIMING, ...options.timing };
  const limitedLog = createRateLimitedLog(log, REPEAT_LOG_MS, now);
  const backoff = createBackoff({ ...timing, healthyMs: HEALTHY_MS }, now, random);
  while (!signal.aborted) {
    try {
      return await tryOnce(options, timing.withinMs, signal);
    } catch (error) {
      if (signal.aborted) break;
      limitedLog.say('warn', { node, taint: key }, 'the start-up taint cannot be removed yet, trying again', error);
    }
    await pause(backoff(), signal);
  }
  return false;
};

const tryOnce = async (options: TaintOptions, withinMs: number, signal: AbortSignal): Promise<boolean> => {
  const { connection, nodeName, key } = options;
  const call = { connection, signal, withinMs };
  const path = `/api/v1/nodes/${nodeName}`;
  const taints = taintsOf(await read(call, path));
  const rest = taints.filter((taint) => !isOf(taint, key));
  if (rest.length === taints.length) return false;
  const at = '/spec/taints';
  const change = rest.length === 0 ? { op: 'remove', path: at } : { op: 'replace', path: at, value: rest };
  const body = [{ op: 'test', path: at, value: taints }, change];
  const node = await patch(call, path, 'json-patch', body);
  if (hasTaint(node, key)) throw new Error(`Node ${digText(node, 'metadata', 'name')} still has it`);
  return true;
};
