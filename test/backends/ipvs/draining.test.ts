/** Graceful termination: who leaves keeps his connections, over restarts too, and is gone when they are. */
import { describe, expect, it } from 'vitest';

import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { COMMAND } from './memory-ipvs.ts';
import type { MemoryKernel } from './memory-kernel.ts';
import { by, newKernel, start, tcp } from './world.ts';

const SERVICE = '-t 10.96.0.1:80';
const LEAVING = '10.200.0.1:8080';
const BOTH = tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2']);
const ONE = tcp('web', '10.96.0.1', ['10.200.0.2']);
const NO_DRIFT = { missing: [], changed: [], foreign: [] };
/** As long as IPVS remembers a silent connection, and how often it is looked at. */
const TCP_MS = 900_000;
const LOOK_MS = 30_000;

const weightOf = (kernel: MemoryKernel, service = SERVICE, server = LEAVING): number | undefined =>
  kernel.ipvs.has(service, server) ? kernel.ipvs.destination(service, server).settings.weight : undefined;

/** A Service of two endpoints, of which one has three connections. */
const busy = async (kernel: MemoryKernel) => {
  const life = start(kernel);
  await life.sync([BOTH]);
  kernel.ipvs.destination(SERVICE, LEAVING).connections = 3;
  return life;
};

describe('an endpoint that leaves', () => {
  it('without connections is deleted at once', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([BOTH]);
    await life.sync([ONE]);
    expect(weightOf(kernel)).toBeUndefined();
    expect(weightOf(kernel, SERVICE, '10.200.0.2:8080')).toBe(1);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
  });

  it('is without weight before its connections are counted: no new one can come in between', async () => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([BOTH]);
    const server = kernel.ipvs.destination(SERVICE, LEAVING);
    const weights: number[] = [];
    // a client connects whenever somebody looks, as long as it is let in
    Object.defineProperty(server, 'connections', {
      get: () => {
        weights.push(server.settings.weight);
        return server.settings.weight === 0 ? 0 : 1;
      },
    });
    await life.sync([ONE]);
    expect(weights).not.toEqual([]);
    expect(new Set(weights)).toEqual(new Set([0]));
    expect(weightOf(kernel)).toBeUndefined();
  });

  it('stays without weight while it has connections that speak, and is no drift', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    await life.sync([ONE]);
    for (let spent = 0; spent < 3 * TCP_MS; spent += LOOK_MS) {
      kernel.time += LOOK_MS;
      kernel.ipvs.destination(SERVICE, LEAVING).packets += 1;
      expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
      expect(weightOf(kernel)).toBe(0);
    }
  });

  it('is deleted at the next look after its last connection has ended', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    await life.sync([ONE]);
    await life.reconciler.audit();
    expect(weightOf(kernel)).toBe(0);
    kernel.ipvs.destination(SERVICE, LEAVING).connections = 0;
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    expect(weightOf(kernel)).toBeUndefined();
  });

  it('is deleted when its connections have been silent for longer than IPVS remembers them', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    await life.sync([ONE]);
    kernel.time += TCP_MS / 2;
    kernel.ipvs.destination(SERVICE, LEAVING).packets += 1;
    await life.reconciler.audit();
    kernel.time += TCP_MS;
    await life.reconciler.audit();
    expect(weightOf(kernel), 'silent for exactly as long').toBe(0);
    kernel.time += LOOK_MS;
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    expect(weightOf(kernel)).toBeUndefined();
  });

  it('that nobody saw leave is deleted as a stranger', async () => {
    const kernel = newKernel();
    await (await busy(kernel)).sync([ONE]);
    kernel.ipvs.destination(SERVICE, LEAVING).connections = 0;
    const report = await start(kernel).sync([ONE]);
    expect(report.changes).toEqual({ added: 0, replaced: 0, removed: 1 });
    expect(weightOf(kernel)).toBeUndefined();
  });

  it('waits by the time-out that the kernel has', async () => {
    const kernel = newKernel();
    kernel.ipvs.timeouts = { ...kernel.ipvs.timeouts, tcp: 60 };
    const life = await busy(kernel);
    await life.sync([ONE]);
    kernel.time += 2 * LOOK_MS + 1;
    await life.reconciler.audit();
    expect(weightOf(kernel)).toBeUndefined();
  });

  it('goes with its Service', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    await life.sync([ONE]);
    await life.sync([], ['ns/web:p/TCP']);
    expect(kernel.ipvs.has(SERVICE)).toBe(false);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
  });

  it.each([
    ['UDP', '-u 10.96.0.1:80', undefined],
    ['SCTP', '--sctp-service 10.96.0.1:80', 0],
  ] as const)('by %s has weight %3$s at once', async (protocol, service, weight) => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([by(protocol, BOTH)]);
    kernel.ipvs.destination(service, LEAVING).connections = 3;
    await life.sync([by(protocol, ONE)]);
    expect(weightOf(kernel, service)).toBe(weight);
    expect(weightOf(kernel, service, '10.200.0.2:8080')).toBe(1);
  });
});

describe('an endpoint that the kernel does not let go', () => {
  it.each([
    ['its weight', COMMAND.SET_DEST],
    ['its place', COMMAND.DEL_DEST],
  ] as const)('keeps %s for now: the sync fails, and the next one does it', async (_, command) => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([BOTH]);
    kernel.ipvs.refuses = (asked) => (asked === command ? ERRNO.EPERM : undefined);
    await expect(life.sync([ONE])).rejects.toMatchObject({ name: 'KernelError', scope: 'environment' });
    expect(weightOf(kernel)).toBeDefined();
    kernel.ipvs.refuses = () => undefined;
    await life.sync([]);
    expect(weightOf(kernel)).toBeUndefined();
    expect(weightOf(kernel, SERVICE, '10.200.0.2:8080')).toBe(1);
    expect(life.refused).toEqual([]);
  });

  it('is no reason to blame its Service, when only the circumstances are', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    kernel.ipvs.refuses = (asked) => (asked === COMMAND.SET_DEST ? ERRNO.ENOMEM : undefined);
    await expect(life.sync([ONE])).rejects.toThrow(LEAVING);
    expect(weightOf(kernel), 'new connections still come').toBe(1);
    kernel.ipvs.refuses = () => undefined;
    await life.sync([]);
    expect(weightOf(kernel)).toBe(0);
  });

  it.each([ERRNO.ENOENT, ERRNO.ESRCH])('has gone by itself, where the kernel says so (%i)', async (errno) => {
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([BOTH]);
    kernel.ipvs.refuses = (asked) => (asked === COMMAND.SET_DEST || asked === COMMAND.DEL_DEST ? errno : undefined);
    await life.sync([ONE]);
    expect(life.refused).toEqual([]);
  });
});

describe('an endpoint behind a mark', () => {
  it.each([
    ['UDP', undefined],
    ['TCP', 0],
  ] as const)('by %s has weight %s at once', async (protocol, weight) => {
    const policyLocal = (service: ServiceEndpoints): ServiceEndpoints => {
      const named = by(protocol, service);
      return { ...named, port: { ...named.port, nodePort: 30_001, externalPolicyLocal: true } };
    };
    const kernel = newKernel();
    const life = start(kernel);
    await life.sync([policyLocal(BOTH)]);
    const [mark = ''] = kernel.ipvs.flags().filter((flag) => flag.startsWith('-f '));
    kernel.ipvs.destination(mark, LEAVING).connections = 3;
    await life.sync([policyLocal(ONE)]);
    expect(weightOf(kernel, mark)).toBe(weight);
    expect(weightOf(kernel, mark, '10.200.0.2:8080')).toBe(1);
  });
});

describe('an endpoint that comes back while it leaves', () => {
  it('has its weight at once, and its connections', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    await life.sync([ONE]);
    const report = await life.sync([BOTH]);
    expect(report.changes).toEqual({ added: 1, replaced: 0, removed: 0 });
    expect(weightOf(kernel)).toBe(1);
    expect(kernel.ipvs.destination(SERVICE, LEAVING).connections).toBe(3);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
  });

  it('has its weight at once also after a restart', async () => {
    const kernel = newKernel();
    await (await busy(kernel)).sync([ONE]);
    await start(kernel).sync([BOTH]);
    expect(weightOf(kernel)).toBe(1);
  });

  it('and leaves once more has not been silent in between', async () => {
    const kernel = newKernel();
    const life = await busy(kernel);
    await life.sync([ONE]);
    await life.sync([BOTH]);
    kernel.time += 2 * TCP_MS;
    await life.sync([ONE]);
    expect(weightOf(kernel)).toBe(0);
  });
});

describe('a restart while an endpoint leaves', () => {
  it('writes nothing, and the next life deletes it when it is time', async () => {
    const kernel = newKernel();
    await (await busy(kernel)).sync([ONE]);
    const life = start(kernel);
    const report = await life.sync([ONE]);
    expect(report.changes).toEqual({ added: 0, replaced: 0, removed: 0 });
    expect(weightOf(kernel)).toBe(0);
    expect(await life.reconciler.audit()).toEqual(NO_DRIFT);
    kernel.ipvs.destination(SERVICE, LEAVING).connections = 0;
    await life.reconciler.audit();
    expect(weightOf(kernel)).toBeUndefined();
  });

  it('counts the silence anew, and ends it', async () => {
    const kernel = newKernel();
    await (await busy(kernel)).sync([ONE]);
    kernel.time += TCP_MS - 1;
    const life = start(kernel);
    await life.sync([ONE]);
    kernel.time += TCP_MS - 1;
    await life.reconciler.audit();
    expect(weightOf(kernel)).toBe(0);
    kernel.time += 2;
    await life.reconciler.audit();
    expect(weightOf(kernel)).toBeUndefined();
  });
});

it('a weight that somebody else took is given back', async () => {
  const kernel = newKernel();
  const life = await busy(kernel);
  const server = kernel.ipvs.destination(SERVICE, LEAVING);
  server.settings = { ...server.settings, weight: 0 };
  const { missing } = await life.reconciler.audit();
  expect(missing).toEqual([`server ${SERVICE} -r ${LEAVING}`]);
  expect(weightOf(kernel)).toBe(1);
});
