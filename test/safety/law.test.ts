/**
 * The safety law, for each mode's own compiler, arranger and plan: an object that is wanted and was present is never absent
 * at an intermediate state, whatever is refused, killed, torn, edited by others or restarted meanwhile; no owner is set
 * aside for what another owner's object did; and when trouble ends, the kernel is as a fresh start would make it.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { ipvsBackend } from '../../src/backends/ipvs/index.ts';
import type { AnyBackend } from '../../src/backends/mode.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { type Fragment, KernelError, type KernelObject } from '../../src/dataplane/contract.ts';
import { Desired } from '../../src/dataplane/desired.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import type { NodeContext } from '../../src/model/node.ts';
import { ownerOf } from '../../src/model/service.ts';
import { SETTINGS } from '../backends/ipvs/memory-kernel.ts';
import { NODE } from '../dataplane/fake-backend.ts';
import { FOUND } from './found.ts';
import { SafetyKernel, says, unitOf } from './kernel.ts';
import { type Draft, type Event, lives, serviceOf } from './lives.ts';

/** In CI; `SAFETY_LIVES=10000 npx vitest run --project=unit test/safety` takes ten minutes. */
const RUNS = Number(process.env.SAFETY_LIVES ?? 500);
/** The same lives at each run of CI; others where their number is given. */
const SEED = process.env.SAFETY_LIVES === undefined ? { seed: 7 } : {};
const MINUTES = 1_500_000;

const MODES: Readonly<Record<string, () => AnyBackend>> = {
  iptables: () => iptablesBackend({ family: 'IPv4' }) as never,
  ipvs: () => ipvsBackend({ family: 'IPv4', settings: SETTINGS }) as never,
  nftables: () => nftablesBackend({ family: 'IPv4' }) as never,
};

/** A dispatch chain holds rules of many owners: each is a unit by itself. Others are whole. */
const unitsOf = (object: KernelObject): readonly string[] => {
  const { kind, table, rules } = object as unknown as { kind: string; table: string; rules: readonly string[] };
  return kind === 'chain' ? [unitOf(object), ...rules.map((rule) => `${table} rule ${rule}`)] : [unitOf(object)];
};

/** What an owner's wish comes down to: the parts of a frontend, or the object. */
const wishUnits = (object: KernelObject): readonly string[] => {
  const { lines, objects } = object as unknown as {
    lines?: readonly { table: string; rule: string }[];
    objects?: readonly KernelObject[];
  };
  if (object.kind === 'trunk') return [];
  if (lines !== undefined) return lines.map(({ table, rule }) => `${table} rule ${rule}`);
  return objects === undefined ? [unitOf(object)] : objects.map(unitOf);
};

/** The engine over a kernel, and what it was told last. */
class Life {
  readonly kernel = new SafetyKernel();
  readonly #backend: AnyBackend;
  readonly #drafts = new Map<string, Draft>();
  readonly #wishes = new Map<string, Fragment<KernelObject>>();
  #node: NodeContext = NODE;
  #clock = 1_000_000;
  #stop = new AbortController();
  #engine: Reconciler<KernelObject, unknown>;
  #underway: Promise<unknown>[] = [];
  /** Refusals that no content explains may hit anybody. */
  #isFlaky = false;
  /** What was told last is not done. */
  #isBehind = false;

  constructor(backend: AnyBackend) {
    this.#backend = backend;
    this.kernel.units = unitsOf;
    this.#engine = this.#start();
  }

  #start(): Reconciler<KernelObject, unknown> {
    this.#stop = new AbortController();
    const engine = new Reconciler(this.kernel.backend(this.#backend) as AnyBackend, {
      signal: this.#stop.signal,
      clock: () => this.#clock,
    });
    this.kernel.isSetAside = (owner) => engine.status(owner).state === 'Quarantined';
    return engine;
  }

  async live(events: readonly Event[]): Promise<void> {
    this.#sync([...this.#drafts.keys()], []);
    for (const event of events) await this.#happens(event);
    await this.#ended();
  }

  async #happens(event: Event): Promise<void> {
    const { kernel } = this;
    if (event.op === 'sync') await this.#change(event.services);
    else if (event.op === 'node') {
      await this.#ended();
      this.#node = { ...NODE, zone: event.zone };
      this.#sync([...this.#drafts.keys()], [], true);
    } else if (event.op === 'audit') this.#underway.push(this.#engine.audit());
    else if (event.op === 'edit') this.#edit(event.pick, event.how);
    else if (event.op === 'disturb') {
      kernel.disturbances.push(event.by);
      if (event.by.how === 'refused') this.#isFlaky = true;
    } else if (event.op === 'evil') {
      await this.#ended();
      kernel.evil = event.text;
    } else if (event.op === 'wait') {
      await this.#ended();
      this.#clock += event.ms;
    } else await this.#restart();
  }

  /** What the law holds against is what the engine was told last: so it is told of one burst after the other. */
  async #change(services: Extract<Event, { op: 'sync' }>['services']): Promise<void> {
    await this.#ended();
    const gone: string[] = [];
    for (const [name, draft] of services) {
      if (draft !== undefined) this.#drafts.set(name, draft);
      else if (this.#drafts.delete(name)) gone.push(`ns/${name}:p/TCP`);
    }
    this.#sync(
      services.flatMap(([name, draft]) => (draft === undefined ? [] : [name])),
      gone,
    );
  }

  #sync(names: readonly string[], gone: readonly string[], nodeChanged = false): void {
    const services = names.flatMap((name) => {
      const draft = this.#drafts.get(name);
      return draft === undefined ? [] : [serviceOf(name, draft)];
    });
    this.#want();
    this.#isBehind = true;
    const sync = this.#engine.sync({ node: this.#node, nodeChanged, services, gone });
    this.#underway.push(
      sync.then(() => {
        this.#isBehind = false;
      }),
    );
  }

  #want(): void {
    const desired = new Desired<KernelObject>();
    this.#wishes.clear();
    this.#wishes.set('base', this.#backend.base(this.#node));
    for (const [name, draft] of this.#drafts) {
      const service = serviceOf(name, draft);
      this.#wishes.set(ownerOf(service.port.name), this.#backend.compile(service, this.#node));
    }
    for (const [owner, fragment] of this.#wishes) desired.put(owner, fragment);
    const wanted = new Map<string, string[]>();
    for (const [owner, { objects }] of this.#wishes) {
      const lost = new Set(desired.disputes(owner).flatMap(({ id, isGranted }) => (isGranted ? [] : [id])));
      for (const unit of objects.filter(({ id }) => !lost.has(id)).flatMap(wishUnits)) {
        wanted.set(unit, [...(wanted.get(unit) ?? []), owner]);
      }
    }
    this.kernel.wanted = wanted;
  }

  #edit(pick: number, how: 'delete' | 'alter' | 'add'): void {
    const { objects } = this.kernel;
    const id = [...objects.keys()][pick % Math.max(1, objects.size)] ?? '';
    const object = objects.get(id);
    if (object === undefined) return;
    if (how === 'delete') objects.delete(id);
    else if (how === 'alter') objects.set(id, { ...object, content: `${object.content} altered` });
    else objects.set(`${id} of others`, { ...object, id: `${id} of others` });
  }

  async #restart(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await this.#ended();
    this.#engine = this.#start();
    this.#sync([...this.#drafts.keys()], []);
  }

  async #ended(): Promise<void> {
    const results = await Promise.allSettled(this.#underway);
    this.#underway = [];
    for (const result of results) {
      const isFault = result.status === 'rejected' && !(result.reason instanceof KernelError);
      if (isFault && !this.#stop.signal.aborted) throw result.reason;
    }
    this.#judge();
  }

  #judge(): void {
    expect(this.kernel.violations).toEqual([]);
    // what failed as a whole is tried again: until then an owner is as it was
    if (this.#isFlaky || this.#isBehind) return;
    for (const { owner, state } of this.#engine.statuses()) {
      if (state !== 'Quarantined') continue;
      const isToBlame = (this.#wishes.get(owner)?.objects ?? []).some((object) =>
        [...this.kernel.refused].some((evil) => says(object, evil)),
      );
      expect(isToBlame, `${owner} is set aside`).toBe(true);
    }
  }

  /** Trouble ends: the kernel becomes what a fresh start makes of an empty one. */
  async settle(): Promise<void> {
    this.kernel.evil = undefined;
    this.kernel.disturbances.length = 0;
    for (let tries = 0; tries < 5; tries += 1) {
      this.#clock += 3_600_000;
      this.#underway.push(this.#engine.sync({ node: this.#node, nodeChanged: false, services: [], gone: [] }));
      await this.#ended();
      this.#underway.push(this.#engine.audit());
      await this.#ended();
    }
    const fresh = new SafetyKernel();
    const engine = new Reconciler(fresh.backend(this.#backend) as AnyBackend, { signal: this.#stop.signal });
    const services = [...this.#drafts].map(([name, draft]) => serviceOf(name, draft));
    await engine.sync({ node: this.#node, nodeChanged: false, services, gone: [] });
    expect(contents(this.kernel), JSON.stringify(this.#engine.statuses())).toEqual(contents(fresh));
  }
}

const contents = ({ objects }: SafetyKernel): readonly string[] =>
  [...objects.values()]
    .filter(({ stays }) => stays !== true)
    .map(unitOf)
    .sort();

describe.each(Object.keys(MODES))('mode %s', (mode) => {
  it(
    `what is wanted and was present is never absent, ${RUNS} lives`,
    async () => {
      const backend = MODES[mode]?.();
      if (backend === undefined) throw new Error(`no mode ${mode}`);
      await fc.assert(
        fc.asyncProperty(lives, async (events) => {
          const life = new Life(backend);
          await life.live(events);
          await life.settle();
        }),
        { numRuns: RUNS, ...SEED, examples: FOUND.map((events) => [events]) },
      );
    },
    MINUTES,
  );
});
