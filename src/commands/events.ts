/**
 * Kubernetes Events, on the Node or on the Service concerned: the text of each. Delivery and limits are the recorder's. Reasons
 * are kube-proxy's where it has them.
 */
import type { ProxyMode } from '../config/config.ts';
import type { Drift } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import type { Missing } from '../model/missing.ts';
import type { HealthCheckProblem } from '../observe/health-checks.ts';
import type { ApiConnection } from '../sources/apiserver/connection.ts';
import type { EventObject, EventText } from '../sources/apiserver/event.ts';
import type { EventCounts, EventRecorder } from '../sources/apiserver/recorder.ts';
import type { Setup } from './setup.ts';
import { VERSION } from './version.ts';

export type ServerName = 'metrics' | 'health';

/** kube-proxy's, also what it was about to do then. */
const SERVER_REASONS: Readonly<Record<ServerName, string>> = {
  metrics: 'FailedToStartMetricServer',
  health: 'FailedToStartProxierHealthcheck',
};
const START = 'StartKubeProxy';
/** An Event of a drift names so many objects and counts the rest. */
const NAMED = 5;

/** Recorder that sends Events to the API server. */
export type Teller = Pick<EventRecorder, 'record' | 'counts' | 'stop'>;

/** Without an API server on the other side nobody is told. */
export const openEvents = async (setup: Setup, connection: ApiConnection | undefined): Promise<NodeEvents> => {
  if (connection === undefined) return new NodeEvents(setup);
  const { EventRecorder } = await import('../sources/apiserver/recorder.ts');
  return new NodeEvents(setup, new EventRecorder({ connection, instance: setup.nodeName, log: setup.log }));
};

export class NodeEvents {
  readonly #mode: ProxyMode;
  readonly #node: EventObject;
  readonly #recorder: Teller | undefined;

  constructor({ config, nodeName: name }: Pick<Setup, 'config' | 'nodeName'>, recorder?: Teller) {
    this.#mode = config.mode;
    // the kubelet and kube-proxy give a Node's name as its uid, and `kubectl describe node` looks for both
    this.#node = { apiVersion: 'v1', kind: 'Node', name, uid: name };
    this.#recorder = recorder;
  }

  /** Undefined where nobody is told. */
  get counts(): (EventCounts & Readonly<Record<string, number>>) | undefined {
    return this.#recorder === undefined ? undefined : { ...this.#recorder.counts };
  }

  starting(): void {
    this.#tell('Normal', 'Starting', START, `pointsman ${VERSION} starts in mode ${this.#mode}`);
  }

  /** Leftovers of another mode are removed. */
  modeChanged(former: string, family: IPFamily, objects: number): void {
    const note = `mode ${this.#mode} serves, ${objects} objects that mode ${former} had left were removed (${family})`;
    this.#tell('Normal', 'ProxyModeChanged', 'RemoveRules', note);
  }

  quarantined(family: IPFamily, owner: string, error: string): void {
    this.#tell('Warning', 'ServiceQuarantined', 'SetAside', `${owner} (${family}) is set aside: ${error}`);
  }

  released(family: IPFamily, owner: string, isServed: boolean): void {
    const how = isServed ? 'is served again' : 'is not wanted any more';
    this.#tell('Normal', 'ServiceReleased', 'Retry', `${owner} (${family}), which was set aside, ${how}`);
  }

  drifted(family: IPFamily, { missing, changed, foreign }: Drift): void {
    const all = [...missing, ...changed, ...foreign];
    const more = all.length > NAMED ? ` and ${all.length - NAMED} more` : '';
    const counts = `${missing.length} missing, ${changed.length} changed, ${foreign.length} foreign`;
    const names = `${all.slice(0, NAMED).join('; ')}${more}`;
    const note = `somebody else changed this node's rules (${family}), repaired: ${counts}: ${names}`;
    this.#tell('Warning', 'DriftRepaired', 'RepairRules', note);
  }

  /** Rules are made without it. */
  missing({ what, why }: Missing): void {
    this.#tell('Warning', 'InputMissing', 'GoOn', `${what} is missing: ${why}`);
  }

  serverUnable(name: ServerName, address: string, error: string): void {
    this.#tell('Warning', SERVER_REASONS[name], START, `the ${name} server cannot listen on ${address}: ${error}`);
  }

  /** On the Service, as kube-proxy does. */
  healthCheckUnserved({ service, port, error }: HealthCheckProblem): void {
    const [namespace = '', name = ''] = service.split('/');
    this.#recorder?.record({
      type: 'Warning',
      reason: 'FailedToStartServiceHealthcheck',
      action: 'Listen',
      note: `node ${this.#node.name} does not answer on health-check node port ${port}: ${error}`,
      regarding: { apiVersion: 'v1', kind: 'Service', namespace, name },
      related: this.#node,
    });
  }

  taintRemoved(key: string): void {
    this.#tell('Normal', 'StartupTaintRemoved', 'RemoveTaint', `rules are in place: the taint ${key} was removed`);
  }

  /** Queued Events have two seconds. */
  async stop(): Promise<void> {
    await this.#recorder?.stop();
  }

  #tell(type: EventText['type'], reason: string, action: string, note: string): void {
    this.#recorder?.record({ type, reason, action, note, regarding: this.#node });
  }
}
