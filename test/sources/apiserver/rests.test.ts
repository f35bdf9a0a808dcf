/** The process answers others while an API server tells it much at once. */
import { PassThrough } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { restingSink } from '../../../src/commands/resting-sink.ts';
import type { ObjectKind, ObjectSink } from '../../../src/model/kubernetes.ts';
import { Tracker } from '../../../src/model/tracker.ts';
import type { ApiConnection } from '../../../src/sources/apiserver/connection.ts';
import { ApiServerSource } from '../../../src/sources/apiserver/source.ts';
import { resourcesFor } from '../../../src/sources/resources.ts';
import { NODE_OPTIONS } from '../../model/objects.ts';
import { collectLog, NODE } from '../support.ts';

const COUNT = 6_000;

const service = (i: number): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'ns', name: `s${i}`, resourceVersion: `${i + 1}` },
  spec: {
    clusterIP: `10.96.${i >> 8}.${i & 255}`,
    ports: Array.from({ length: 4 }, (_, k) => ({ name: `p${k}`, port: 80 + k })),
  },
});
const SERVICES = Array.from({ length: COUNT }, (_, i) => service(i));
const version = `${COUNT + 1}`;
const bookmark = {
  kind: 'Service',
  metadata: { resourceVersion: version, annotations: { 'k8s.io/initial-events-end': 'true' } },
};
const added = SERVICES.map((object) => `${JSON.stringify({ type: 'ADDED', object })}\n`).join('');
const marked = `${JSON.stringify({ type: 'BOOKMARK', object: bookmark })}\n`;

/** Counts the turns of the event loop until told to stop. */
const countTurns = (): (() => number) => {
  let turns = 0;
  let isOver = false;
  const next = (): void => {
    turns += 1;
    if (!isOver) setImmediate(next);
  };
  next();
  return () => {
    isOver = true;
    return turns;
  };
};

type Answer = (path: string, stream: PassThrough) => number;

/** Follows Services alone, from a server that says everything in one piece. */
const follow = (sink: ObjectSink, answer: Answer): void => {
  const connection: ApiConnection = {
    server: 'http://fake',
    listen: () => undefined,
    close: () => undefined,
    request: async (path, { signal }) => {
      const stream = new PassThrough({ highWaterMark: 2 ** 30 });
      stream.on('error', () => undefined);
      signal.addEventListener('abort', () => stream.destroy(), { once: true });
      const statusCode = answer(path, stream);
      return Object.assign(stream, { statusCode, headers: {} }) as never;
    },
  };
  const resources = resourcesFor(NODE).filter(({ kind }) => kind === 'Service');
  const source = new ApiServerSource({ connection, nodeName: NODE, log: collectLog(), resources });
  const stop = new AbortController();
  const running = source.run(sink, stop.signal);
  onTestFinished(() => {
    stop.abort();
    return running;
  });
};

/** Hears what comes; resolves `replaced` with the first list. */
const hearing = () => {
  let tell = (_: number): void => undefined;
  const replaced = new Promise<number>((resolve) => {
    tell = resolve;
  });
  const sink: ObjectSink = {
    replace: (_, objects) => tell(objects.length),
    put: () => undefined,
    remove: () => undefined,
  };
  return { sink, replaced };
};

const streaming: Answer = (_, stream) => {
  stream.write(added + marked);
  return 200;
};

const listing: Answer = (path, stream) => {
  if (path.includes('sendInitialEvents')) {
    stream.end(JSON.stringify({ kind: 'Status', code: 400, reason: 'Invalid' }));
    return 400;
  }
  if (!path.includes('watch=')) stream.end(JSON.stringify({ metadata: { resourceVersion: version }, items: SERVICES }));
  return 200;
};

describe('everything at once', () => {
  it.each([
    ['a streaming list', streaming],
    ['a list that is not paged', listing],
  ])('%s is read with rests', async (_, answer) => {
    const { sink, replaced } = hearing();
    const turns = countTurns();
    follow(sink, answer);
    await expect(replaced).resolves.toBe(COUNT);
    // reading takes far more than ten milliseconds for each of these
    expect(turns()).toBeGreaterThan(4);
  });

  it('is taken over with rests', async () => {
    const tracker = new Tracker({ node: NODE_OPTIONS });
    const turns = countTurns();
    await restingSink(tracker).replace('Service', SERVICES);
    expect(tracker.serviceCount).toBe(COUNT);
    expect(turns()).toBeGreaterThan(3);
  });

  it('is followed by what changes only when it is taken over', async () => {
    const heard: string[] = [];
    let done = (): void => undefined;
    const taken = new Promise<void>((resolve) => {
      done = resolve;
    });
    const hear = (what: string) => (kind: ObjectKind) => void heard.push(`${what} ${kind}`);
    const sink: ObjectSink = {
      replace: async () => {
        heard.push('begin');
        await taken;
        heard.push('end');
      },
      put: hear('put'),
      remove: hear('remove'),
    };
    const change = `${JSON.stringify({ type: 'MODIFIED', object: service(COUNT + 5) })}\n`;
    follow(sink, (_, stream) => {
      stream.write(marked + change);
      return 200;
    });
    await expect.poll(() => heard).toEqual(['begin']);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(heard).toEqual(['begin']);
    done();
    await expect.poll(() => heard).toEqual(['begin', 'end', 'put Service']);
  });
});
