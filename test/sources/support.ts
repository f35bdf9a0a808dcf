/** What the tests of sources share: a sink that remembers, a log that can be read, short times, objects. */

import type { ApiServer } from '../../src/lab/apiserver/server.ts';
import { OBJECT_KINDS, type ObjectKind, type ObjectSink } from '../../src/model/kubernetes.ts';
import {
  type ApiConnection,
  type ApiConnectionOptions,
  openConnection,
} from '../../src/sources/apiserver/connection.ts';
import { ApiServerSource } from '../../src/sources/apiserver/source.ts';
import type { Timing } from '../../src/sources/apiserver/timing.ts';
import { digText } from '../../src/sources/raw.ts';
import type { Log, ObjectSource } from '../../src/sources/source.ts';

export const NODE = 'worker-1';

export const FAST: Partial<Timing> = {
  backoffFirstMs: 8,
  backoffMaxMs: 30,
  refusedMaxMs: 30,
  retryAfterMaxMs: 200,
  watchSeconds: [300, 600],
  bookmarkSilenceMs: 120,
  initialSilenceMs: 120,
  bodySilenceMs: 500,
  shortWatchMs: 20,
  missingRetryMs: 50,
  optionalWaitMs: 100,
  wantedWaitMs: 300,
};

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export const collectLog = (): Log & { readonly lines: LogLine[] } => {
  const lines: LogLine[] = [];
  const at =
    (level: string) =>
    (fields: unknown, message?: unknown): void => {
      lines.push({ level, message: String(message), fields: fields as Record<string, unknown> });
    };
  return { lines, info: at('info'), warn: at('warn'), error: at('error'), debug: at('debug') };
};

const nameOf = (object: unknown): string =>
  [digText(object, 'metadata', 'namespace'), digText(object, 'metadata', 'name')]
    .filter((part) => part !== '')
    .join('/');

/** Remembers every call as a line, and what there is after all of them. */
export class RecordingSink implements ObjectSink {
  readonly calls: string[] = [];
  readonly contents = new Map<ObjectKind, Map<string, unknown>>();

  replace(kind: ObjectKind, objects: readonly unknown[]): void {
    this.calls.push(`replace ${kind} ${objects.length}`);
    this.contents.set(kind, new Map(objects.map((object) => [nameOf(object), object])));
  }

  put(kind: ObjectKind, object: unknown): void {
    this.calls.push(`put ${kind} ${nameOf(object)}`);
    this.contents.get(kind)?.set(nameOf(object), object);
  }

  remove(kind: ObjectKind, object: unknown): void {
    this.calls.push(`remove ${kind} ${nameOf(object)}`);
    this.contents.get(kind)?.delete(nameOf(object));
  }

  get synced(): boolean {
    return OBJECT_KINDS.every((kind) => this.contents.has(kind));
  }

  /** Names of a kind, sorted; undefined until it is synced. */
  names(kind: ObjectKind): readonly string[] | undefined {
    const ofKind = this.contents.get(kind);
    return ofKind === undefined ? undefined : [...ofKind.keys()].sort();
  }

  of(kind: ObjectKind): readonly string[] {
    return this.calls.filter((call) => call.split(' ')[1] === kind);
  }
}

export interface Running<S extends ObjectSource> {
  readonly source: S;
  readonly sink: RecordingSink;
  readonly log: ReturnType<typeof collectLog>;
  stop(): Promise<void>;
}

export const start = <S extends ObjectSource>(source: S, log: ReturnType<typeof collectLog>): Running<S> => {
  const controller = new AbortController();
  const sink = new RecordingSink();
  const done = source.run(sink, controller.signal);
  return {
    source,
    sink,
    log,
    stop: () => {
      controller.abort();
      return done;
    },
  };
};

export interface Following extends Running<ApiServerSource> {
  readonly connection: ApiConnection;
}

/** A source that follows an API server. Random numbers are one half: jitter is then no surprise. */
export const follow = async (
  server: Pick<ApiServer, 'url'>,
  timing: Partial<Timing> = {},
  options: Partial<ApiConnectionOptions> = {},
): Promise<Following> => {
  const log = collectLog();
  const connection = await openConnection({ kubeconfig: '', master: server.url, version: '1.2.3', log, ...options });
  const source = new ApiServerSource({
    connection,
    nodeName: NODE,
    log,
    timing: { ...FAST, ...timing },
    random: () => 0.5,
  });
  const running = start(source, log);
  const stop = async (): Promise<void> => {
    await running.stop();
    connection.close();
  };
  return { ...running, connection, stop };
};

export const service = (name: string, spec: object = {}, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'default', name, labels },
  spec: { clusterIP: '10.0.0.1', ...spec },
});

export const slice = (
  name: string,
  addresses: readonly string[] = ['10.1.0.1'],
  labels: Record<string, string> = {},
) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { namespace: 'default', name, labels: { 'kubernetes.io/service-name': 'web', ...labels } },
  addressType: 'IPv4',
  endpoints: [{ addresses }],
});

export const node = (name = NODE) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } });

export const serviceCIDR = (name: string) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name },
  spec: { cidrs: ['10.0.0.0/16'] },
});
