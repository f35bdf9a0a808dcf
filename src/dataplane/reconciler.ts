/**
 * Engine of one IP family. It knows no backend but the contract, and no Kubernetes but the model's types; loop.ts decides
 * when it runs.
 *
 * A sync, under the writer's mutex:
 *   1. backlog      remembers the input until it is staged and reported
 *   2. writer       reads the kernel, where it is not known (at the start, after a failure)
 *   3. backend      compiles each changed service port to a fragment; one that does not compile is quarantined
 *   4. state        stages fragments: claims (desired.ts) → the backend's arranger → wanted objects
 *   5. writer       diff(have, want) → backend.plan → backend.apply, batch by batch
 *   6. on refusal   writer reads and writes again; then quarantine bisects by owner, with suspects frozen (freeze.ts)
 *   7. owners       statuses, notes, report
 * An audit reads beside writes (writer.readUnlocked), then under the mutex: drift → state.correct → steps 5 to 7.
 */

import type { Work } from '../model/family-work.ts';
import type { NodeContext } from '../model/node.ts';
import { ownerOf } from '../model/service.ts';
import type { ServiceEndpoints } from '../model/topology.ts';
import { isOutstanding, newBacklog, remember } from './backlog.ts';
import type { Backend, Fragment, KernelObject, ObjectTraffic } from './contract.ts';
import { newMutex } from './mutex.ts';
import { Owners, type OwnersOptions } from './owners.ts';
import { type Programmed, programmedOf } from './programmed.ts';
import { Quarantine } from './quarantine.ts';
import { driftBetween, KernelState } from './state.ts';
import { addCounts, addDrift, type Drift, NO_CHANGES, NO_DRIFT, type OwnerStatus, type SyncReport } from './status.ts';
import { inParts, Turn } from './turn.ts';
import { type WriteResult, Writer } from './writer.ts';

export interface ReconcilerOptions extends Pick<OwnersOptions, 'onRelease' | 'onNote'> {
  readonly signal: AbortSignal;
  /** Milliseconds since 1970, for statuses. */
  readonly now?: () => number;
  /** Milliseconds of a monotonic clock, for waits. */
  readonly clock?: () => number;
  /** Longest wait between two tries of a quarantined owner. */
  readonly lastRetryMs?: number;
  /** Part of the first sync that is done, 0 to 1. */
  readonly onProgress?: (part: number) => void;
  readonly onQuarantine?: (owner: string, message: string) => void;
}

const BASE = 'base';
const FIRST_RETRY_MS = 1_000;

export class Reconciler<O extends KernelObject, B> {
  readonly #backend: Backend<O, B>;
  readonly #options: ReconcilerOptions;
  readonly #state: KernelState<O>;
  readonly #writer: Writer<O, B>;
  readonly #quarantine: Quarantine<O, B>;
  readonly #owners: Owners<O>;
  readonly #backlog = newBacklog();
  readonly #unreported = newBacklog();
  #node: NodeContext | undefined;
  /** True while the kernel's objects are known: false before the first read and after a failure. */
  #known = false;
  /** True once all Services of the start are staged: before that no object in the kernel can be called foreign. */
  #isStartStaged = false;
  readonly #auditing = newMutex();
  /** Audit that is requested and has not begun. */
  #nextAudit: Promise<Drift> | undefined;
  #lastError: string | undefined;

  constructor(backend: Backend<O, B>, options: ReconcilerOptions) {
    this.#backend = backend;
    this.#options = options;
    const now = options.now ?? Date.now;
    this.#state = new KernelState(backend.arranger?.(), backend.measure?.bind(backend));
    this.#writer = new Writer(backend, this.#state, options.signal);
    this.#quarantine = new Quarantine(this.#state, this.#writer, {
      now,
      clock: options.clock ?? (() => performance.now()),
      firstRetryMs: FIRST_RETRY_MS,
      lastRetryMs: options.lastRetryMs ?? 30_000,
      isEssential: (owner) => owner === BASE,
    });
    this.#owners = new Owners(this.#state.desired, this.#quarantine, { ...options, now });
  }

  /** Error of the last sync or audit that failed as a whole; undefined after a sync that did not. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Milliseconds until the next retry of a quarantined owner; undefined when none waits. */
  get nextRetryMs(): number | undefined {
    return this.#quarantine.nextRetryMs();
  }

  /** Milliseconds that the last read of the kernel took. */
  get readMs(): number {
    return this.#writer.readMs;
  }

  /** Counts of the kernel's objects for metrics, such as rules by table. */
  get counts(): ReadonlyMap<string, number> {
    return this.#state.counts;
  }

  /** Wanted kernel objects by id. */
  get want(): ReadonlyMap<string, O> {
    return this.#state.want;
  }

  /** Traffic that the kernel has counted, by object; undefined where the backend counts none. Throws KernelError. */
  async traffic(): Promise<ObjectTraffic | undefined> {
    return this.#backend.traffic?.(this.#options.signal);
  }

  /** Owner of a kernel object; undefined for one of several owners. */
  ownerOf(id: string): string | undefined {
    return this.#state.ownerOf(id);
  }

  statuses(): readonly OwnerStatus[] {
    return this.#owners.statuses(this.#lastError);
  }

  status(owner: string): OwnerStatus {
    return this.#owners.status(owner, this.#lastError);
  }

  /** Programmed objects of these owners, for people. Costs the number of all kernel objects. */
  programmed(isAsked: (owner: string) => boolean): readonly Programmed[] {
    const asked = this.statuses().filter(({ owner }) => isAsked(owner));
    const wantedBy = (owner: string) => this.#quarantine.get(owner)?.wanted ?? this.#state.desired.fragment(owner);
    return programmedOf(
      this.#state,
      this.#backend,
      asked.map((status) => ({ status, wanted: wantedBy(status.owner) })),
    );
  }

  async #noteInput(input: Work): Promise<void> {
    const take = (part: Work): void => {
      remember(this.#backlog, part);
      remember(this.#unreported, part);
    };
    take({ ...input, services: [] });
    await inParts(input.services, (services) => take({ ...input, services, gone: [] }));
  }

  /** Writes changes to the kernel. Throws KernelError when nothing can be written now. */
  sync(input: Work): Promise<SyncReport> {
    return this.#writer.exclusive(() =>
      this.#attempt(async () => {
        const startedAt = performance.now();
        const full = !this.#known;
        await this.#noteInput(input);
        const result = await this.#sync(input.node);
        this.#lastError = undefined;
        const durationMs = performance.now() - startedAt;
        return { full, ...result, durationMs, ...this.#report(), drift: this.#writer.takeDrift() };
      }),
    );
  }

  /**
   * Audits the kernel: compares it with what was written, and repairs what differs. Audits run one at a time; requests while
   * one runs share the next one. Throws KernelError.
   */
  audit(): Promise<Drift> {
    this.#nextAudit ??= this.#auditing(() => {
      this.#nextAudit = undefined;
      return this.#audit();
    });
    return this.#nextAudit;
  }

  async #audit(): Promise<Drift> {
    if (!this.#isStartStaged) return NO_DRIFT;
    // after a failed write there is no known state with which a read beside writes could be compared
    if (!this.#known) return this.#writer.exclusive(() => this.#repair(() => this.#readBack()));
    return this.#writer.readUnlocked((found, touched) =>
      this.#repair(() => (this.#known ? this.#correct(found, touched) : this.#readBack())),
    );
  }

  /** Repairs drift, unless a failed sync left input to stage: its objects would count as foreign. That sync reads the kernel. */
  async #repair(findDrift: () => Promise<Drift>): Promise<Drift> {
    if (isOutstanding(this.#backlog)) return NO_DRIFT;
    return this.#attempt(async () => {
      const drift = await findDrift();
      await this.#settle();
      return addDrift(drift, this.#writer.takeDrift());
    });
  }

  async #readBack(): Promise<Drift> {
    const drift = await this.#writer.readBack();
    this.#known = true;
    return drift;
  }

  /** Runs a sync or an audit; after its failure the kernel's state is unknown, so the next one reads it first. */
  async #attempt<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      this.#known = false;
      this.#lastError = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  async #sync(node: NodeContext): Promise<WriteResult> {
    if (!this.#known) await (this.#isStartStaged ? this.#writer.readBackAfterRefusal() : this.#writer.readBack());
    this.#known = true;
    const isFirst = this.#node === undefined;
    this.#node = node;
    if (this.#backlog.nodeChanged || isFirst) this.#stage(BASE, this.#backend.base(node));
    this.#backlog.nodeChanged = false;
    for (const owner of this.#backlog.gone) this.#forget(owner);
    this.#backlog.gone.clear();
    for (const [owner, wanted] of this.#quarantine.due()) this.#stage(owner, wanted);
    // objects that stay may be there from before: kernel settings, and what is shared with other programs
    const isEmpty = isFirst && [...this.#state.have.values()].every(({ stays }) => stays === true);
    const result = isEmpty ? await this.#syncInGroups(node) : await this.#syncAtOnce(node, isFirst);
    this.#isStartStaged = true;
    return result;
  }

  async #syncAtOnce(node: NodeContext, isFirst: boolean): Promise<WriteResult> {
    const turn = new Turn();
    for (const [owner, service] of this.#backlog.services) {
      this.#compile(service, node);
      this.#backlog.services.delete(owner);
      if (turn.isLong()) await turn.rest();
    }
    const result = await this.#settle(isFirst ? (done, total) => this.#options.onProgress?.(done / total) : undefined);
    if (isFirst) this.#options.onProgress?.(1); // also where there was nothing to write
    return result;
  }

  /** Takes what came into the kernel since the last report; a quarantined owner is reported when it leaves the quarantine. */
  #report(): Pick<SyncReport, 'services' | 'gone' | 'triggeredAt'> {
    const services: ServiceEndpoints[] = [];
    for (const [owner, service] of this.#unreported.services) {
      if (this.#quarantine.get(owner) !== undefined) continue;
      services.push(service);
      this.#unreported.services.delete(owner);
    }
    const gone = [...this.#unreported.gone];
    this.#unreported.gone.clear();
    return { services, gone, triggeredAt: services.flatMap(({ triggeredAt }) => triggeredAt) };
  }

  /** Syncs group by group, so that Services of the first groups work early. */
  async #syncInGroups(node: NodeContext): Promise<WriteResult> {
    let result: WriteResult = { changes: NO_CHANGES, batches: 0 };
    let objects = this.#backend.groupSize; // the first Service is the API server's: a group of its own
    const { services } = this.#backlog;
    const total = services.size;
    const turn = new Turn();
    for (const [owner, service] of services) {
      if (turn.isLong()) await turn.rest();
      objects += this.#compile(service, node);
      services.delete(owner);
      if (objects < this.#backend.groupSize && services.size > 0) continue;
      result = sum(result, await this.#settle());
      this.#options.onProgress?.(1 - services.size / total);
      objects = 0;
    }
    result = sum(result, await this.#settle());
    this.#options.onProgress?.(1);
    return result;
  }

  /** Compiles and stages one service port; returns how many objects it wants. */
  #compile(service: ServiceEndpoints, node: NodeContext): number {
    const owner = ownerOf(service.port.name);
    try {
      const fragment = this.#backend.compile(service, node);
      if (this.#quarantine.holds(owner, fragment)) return 0;
      this.#quarantine.renew(owner, fragment);
      this.#stage(owner, fragment);
      return fragment.objects.length;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#quarantine.suspend(owner, `cannot be compiled: ${message}`);
      this.#options.onQuarantine?.(owner, message);
      return 0;
    }
  }

  #stage(owner: string, fragment: Fragment<O> | undefined): void {
    this.#owners.staging(owner, fragment);
    this.#state.stage(owner, fragment);
    this.#owners.noteAffected();
  }

  #forget(owner: string): void {
    this.#owners.forget(owner);
    this.#stage(owner, undefined);
  }

  /** Writes outstanding changes; after a refusal the kernel is read, the write tried again, then the culprits isolated. */
  async #settle(onBatch?: (done: number, total: number) => void): Promise<WriteResult> {
    const first = await this.#writer.write(onBatch);
    if (!('error' in first)) return this.#done(first);
    await this.#writer.readBackAfterRefusal();
    const second = await this.#writer.writeAgain();
    if (!('error' in second)) return this.#done(second);
    const known = new Set(this.#quarantine.owners);
    await this.#quarantine.isolate(second, this.#owners.pending, (owner) => {
      this.#owners.refused(owner);
      const message = this.#quarantine.get(owner)?.message ?? '';
      if (!known.has(owner)) this.#options.onQuarantine?.(owner, message);
    });
    this.#owners.noteAffected();
    return this.#done({ changes: NO_CHANGES, batches: 0 });
  }

  async #done(result: WriteResult): Promise<WriteResult> {
    await this.#owners.written();
    this.#state.done();
    return result;
  }

  async #correct(found: ReadonlyMap<string, O>, touched: ReadonlySet<string>): Promise<Drift> {
    const drift = await driftBetween(this.#state.have, found, (id) => touched.has(id));
    const { want } = this.#state;
    const turn = new Turn();
    for (const id of [...drift.missing, ...drift.changed]) {
      if (turn.isOver()) await turn.rest();
      this.#state.correct(id, found.get(id));
    }
    for (const [id, object] of found) {
      if (turn.isOver()) await turn.rest();
      // found objects that are not wanted, also those that could not be removed at an earlier try
      if (!touched.has(id) && !want.has(id)) this.#state.correct(id, object);
    }
    return drift;
  }
}

const sum = (a: WriteResult, b: WriteResult): WriteResult => ({
  changes: addCounts(a.changes, b.changes),
  batches: a.batches + b.batches,
});
