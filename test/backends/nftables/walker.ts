/**
 * Walks packets through a table of nf_tables without a kernel: every number that numgen may give is followed.
 *
 * Takes the commands that make the table, as nft reads them in JSON, and refuses statements that it does not know, so that
 * a rule cannot pass unseen.
 */
import { isVerdict } from '../../../src/nftables-json/construct.ts';
import type { Chain, Command, Hook, Statement, Verdict } from '../../../src/nftables-json/schema.ts';
import { NftSet } from './walker-sets.ts';
import { type Packet, type State, type Value, Values } from './walker-values.ts';

export interface Walk {
  /** Distinct outcomes, as text: `10.1.1.1:80`, `10.1.1.1:80 +m`, `reject`, `drop`. */
  readonly outcomes: readonly string[];
  /** Clients that are remembered on the way: `map: key → data`, with a minus those that are forgotten. */
  readonly remembered: readonly string[];
  /** Most rules that one packet was compared with. */
  readonly rules: number;
}

type End = 'continue' | 'accept' | 'drop' | 'reject' | 'masquerade';

interface Step {
  readonly state: State;
  readonly end: End;
}

interface WalkedChain {
  readonly declaration: Chain;
  readonly rules: (readonly Statement[])[];
}

export class Walker {
  readonly #chains = new Map<string, WalkedChain>();
  readonly #values: Values;

  constructor(commands: Iterable<Command>, localAddresses: readonly string[]) {
    this.#values = new Values(localAddresses);
    for (const command of commands) this.#take(command);
  }

  walk(packet: Packet): Walk {
    const { destination, port } = packet;
    const start: State = {
      packet,
      original: { destination, port },
      mark: 0,
      isTranslated: false,
      updates: [],
      rules: 0,
    };
    const first = this.#hook(packet.inInterface === undefined ? 'output' : 'prerouting', start);
    const ends = first.flatMap((step) => (step.end === 'continue' ? this.#route(step.state) : [step]));
    return {
      outcomes: [...new Set(ends.map(outcomeOf))].sort(),
      remembered: [...new Set(ends.flatMap(({ state }) => state.updates))].sort(),
      rules: Math.max(...ends.map(({ state }) => state.rules)),
    };
  }

  /** Behind the first hook: to the node itself, or on. */
  #route(state: State): readonly Step[] {
    if (state.packet.inInterface === undefined) return this.#hook('postrouting', state);
    if (this.#values.isLocal(state.packet.destination)) return this.#hook('input', state);
    return this.#hook('forward', state).flatMap((step) =>
      step.end === 'continue' ? this.#hook('postrouting', step.state) : [step],
    );
  }

  /** All base chains there; what one of them accepts the next one sees. Translation ends the look at nat chains. */
  #hook(hook: Hook, start: State): readonly Step[] {
    const chains = [...this.#chains.values()]
      .filter(({ declaration }) => declaration.hook === hook)
      .sort((a, b) => (a.declaration.prio ?? 0) - (b.declaration.prio ?? 0));
    let open: readonly State[] = [start];
    const ended: Step[] = [];
    for (const { declaration } of chains) {
      const next: State[] = [];
      for (const state of open) {
        const isDone = declaration.type === 'nat' && state.isTranslated && !start.isTranslated;
        for (const step of isDone ? [go(state)] : this.#chain(declaration.name, state)) {
          if (step.end === 'continue' || step.end === 'accept') next.push(step.state);
          else ended.push(step);
        }
      }
      open = unique(next);
    }
    return [...ended, ...open.map(go)];
  }

  #chain(name: string, start: State): readonly Step[] {
    const chain = this.#chains.get(name);
    if (chain === undefined) throw new Error(`there is no chain ${name}`);
    let open: readonly State[] = [start];
    const ended: Step[] = [];
    for (const rule of chain.rules) {
      const next: State[] = [];
      for (const state of open) {
        for (const { step, isLeft } of this.#rule(rule, { ...state, rules: state.rules + 1 })) {
          if (isLeft || step.end !== 'continue') ended.push(step);
          else next.push(step.state);
        }
      }
      open = unique(next);
    }
    return [...ended, ...open.map(go)];
  }

  /** `isLeft`: the chain ends here for this packet, and it goes on behind the jump that led there. */
  #rule(rule: readonly Statement[], start: State): readonly { readonly step: Step; readonly isLeft: boolean }[] {
    let open: readonly State[] = [start];
    const ended: { readonly step: Step; readonly isLeft: boolean }[] = [];
    for (const statement of rule) {
      const next: State[] = [];
      for (const state of open) {
        for (const result of this.#statement(statement, state)) {
          if ('verdict' in result) ended.push(...this.#verdict(result.verdict, result.state));
          else if ('step' in result) ended.push({ step: result.step, isLeft: false });
          else next.push(result.state);
        }
        // who does not match stands before the next rule
        if (this.#isPassing(statement, state)) ended.push({ step: go(state), isLeft: false });
      }
      open = next;
    }
    return [...ended, ...open.map((state) => ({ step: go(state), isLeft: false }))];
  }

  #verdict(verdict: Verdict, state: State): readonly { readonly step: Step; readonly isLeft: boolean }[] {
    if ('jump' in verdict) return this.#chain(verdict.jump.target, state).map((step) => ({ step, isLeft: false }));
    if ('goto' in verdict) return this.#chain(verdict.goto.target, state).map((step) => ({ step, isLeft: true }));
    if ('return' in verdict) return [{ step: go(state), isLeft: true }];
    return [{ step: { state, end: 'drop' in verdict ? 'drop' : 'accept' }, isLeft: true }];
  }

  /** Whether some draw of this statement does not match. */
  #isPassing(statement: Statement, state: State): boolean {
    if ('match' in statement) return !this.#values.matches(statement.match, state);
    if ('vmap' in statement) {
      const set = this.#values.set(statement.vmap.data);
      return this.#values
        .all(statement.vmap.key, state)
        .some((key) => key === undefined || set.find(key) === undefined);
    }
    return 'dnat' in statement && this.#values.all(statement.dnat.addr, state).includes(undefined);
  }

  #statement(
    statement: Statement,
    state: State,
  ): readonly (
    | { readonly state: State }
    | { readonly state: State; readonly verdict: Verdict }
    | { readonly step: Step }
  )[] {
    if ('match' in statement) return this.#values.matches(statement.match, state) ? [{ state }] : [];
    if ('vmap' in statement) {
      const set = this.#values.set(statement.vmap.data);
      const found = this.#values.all(statement.vmap.key, state).flatMap((key) => (key && set.find(key)) ?? []);
      return found.flatMap(({ data }) =>
        typeof data === 'object' && isVerdict(data) ? [{ state, verdict: data }] : [],
      );
    }
    if ('mangle' in statement) {
      const mark = Number(this.#values.one(statement.mangle.value, state));
      return [{ state: { ...state, mark } }];
    }
    if ('dnat' in statement) return this.#translate(this.#values.all(statement.dnat.addr, state), state);
    if ('masquerade' in statement) return [{ step: { state, end: 'masquerade' } }];
    if ('reject' in statement) return [{ step: { state, end: 'reject' } }];
    if ('map' in statement) {
      const { op, elem, data, map } = statement.map;
      const key = typeof elem === 'object' && 'elem' in elem ? elem.elem.val : elem;
      const texts = [key, data].map((part) => (this.#values.all(part, state)[0] ?? []).join(' . '));
      const sign = op === 'delete' ? '-' : '';
      return [{ state: { ...state, updates: [...state.updates, `${sign}${map.slice(1)}: ${texts.join(' → ')}`] } }];
    }
    if ('xt' in statement) throw new Error(`the walker does not know ${JSON.stringify(statement)}`);
    return [{ state, verdict: statement }];
  }

  #translate(targets: readonly Value[], state: State): readonly { readonly step: Step }[] {
    return targets.flatMap((target) => {
      const [destination, port] = target ?? [];
      if (destination === undefined) return [];
      const packet = { ...state.packet, destination, port: Number(port) };
      return [{ step: { state: { ...state, packet, isTranslated: true }, end: 'accept' as const } }];
    });
  }

  #take(command: Command): void {
    if (!('add' in command)) return;
    const { add } = command;
    if ('chain' in add) {
      if (!this.#chains.has(add.chain.name)) this.#chains.set(add.chain.name, { declaration: add.chain, rules: [] });
    } else if ('rule' in add) {
      const chain = this.#chains.get(add.rule.chain);
      if (chain === undefined) throw new Error(`there is no chain ${add.rule.chain}`);
      chain.rules.push(add.rule.expr);
    } else if ('set' in add) this.#values.sets.set(add.set.name, NftSet.of([]));
    else if ('map' in add) this.#values.sets.set(add.map.name, NftSet.of([]));
    else if ('element' in add) this.#values.set(`@${add.element.name}`).add(add.element.elem);
  }
}

const go = (state: State): Step => ({ state, end: 'continue' });

const outcomeOf = ({ state: { packet }, end }: Step): string => {
  if (end === 'reject' || end === 'drop') return end;
  const { destination, port } = packet;
  const to = destination.includes(':') ? `[${destination}]:${port}` : `${destination}:${port}`;
  return end === 'masquerade' ? `${to} +m` : to;
};

/** Branches that came together again are one; the one that passed more rules counts. */
const unique = (states: readonly State[]): readonly State[] => {
  const byKey = new Map<string, State>();
  for (const state of states) {
    const { rules, ...rest } = state;
    const key = JSON.stringify(rest);
    const known = byKey.get(key);
    if (known === undefined || known.rules < rules) byKey.set(key, state);
  }
  return [...byKey.values()];
};

/** What `nft -j -f` would read. */
export const commandsIn = (json: string): readonly Command[] =>
  (JSON.parse(json) as { readonly nftables: readonly Command[] }).nftables;
