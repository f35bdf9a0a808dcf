/** Health-check ports that cannot be had: others have them, or another Service. */
import { describe, expect, it, vi } from 'vitest';
import { body, eventually, LOCAL, start } from './health-bench.ts';
import { ask, changes, freePorts, occupy, portOf, vacate } from './health-clients.ts';

const IN_USE = expect.stringContaining('EADDRINUSE');

describe('a port that others have', () => {
  it('is reported once, tried again at every update, and served once it is free', async () => {
    const blocker = await occupy();
    const port = portOf(blocker);
    const [other = 0] = await freePorts(1);
    const { servers, problems, clock } = start();
    servers.update(changes({ 'ns/web': [port, 1], 'ns/other': [other, 2] }), LOCAL);
    await eventually(other, '200 2');
    await vi.waitFor(() => expect(problems).toEqual([{ service: 'ns/web', port, error: IN_USE }]));
    for (let i = 0; i < 3; i += 1) {
      servers.update(changes({}), LOCAL);
      await vi.waitFor(() => expect(clock.armed).toHaveLength(1));
    }
    expect(problems).toHaveLength(1);
    await vacate(blocker);
    servers.update(changes({}), LOCAL);
    await eventually(port, '200 1');
    expect(clock.armed).toEqual([]);
  });

  it('is tried again unasked, ever more seldom', async () => {
    const blocker = await occupy();
    const port = portOf(blocker);
    const { servers, problems, clock } = start();
    servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    for (const wait of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      await vi.waitFor(() => expect(clock.armed).toEqual([wait]));
      clock.pass(wait);
    }
    await vi.waitFor(() => expect(clock.armed).toEqual([60_000]));
    await vacate(blocker);
    clock.pass(60_000);
    await eventually(port, '200 1');
    expect(problems).toHaveLength(1);
  });

  it('is reported anew when it is lost again later', async () => {
    const blocker = await occupy();
    const port = portOf(blocker);
    const { servers, problems, clock } = start();
    const check = changes({ 'ns/web': [port, 1] });
    servers.update(check, LOCAL);
    await vi.waitFor(() => expect(problems).toHaveLength(1));
    await vacate(blocker);
    clock.pass(1_000);
    await eventually(port, '200 1');
    servers.update(changes({ 'ns/web': undefined }), LOCAL);
    const again = await occupy('127.0.0.1', port);
    servers.update(check, LOCAL);
    await vi.waitFor(() => expect(problems).toHaveLength(2));
    await vacate(again);
  });

  it('is served on the addresses on which it is free', async () => {
    const blocker = await occupy('127.0.0.1');
    const port = portOf(blocker);
    const { servers, problems } = start();
    servers.update(changes({ 'ns/web': [port, 1] }), ['127.0.0.1', '127.0.0.2']);
    await eventually(port, '200 1', '127.0.0.2');
    await vi.waitFor(() => expect(problems).toEqual([{ service: 'ns/web', port, error: IN_USE }]));
    await vacate(blocker);
  });

  it('is not waited for any more once nobody wants it', async () => {
    const blocker = await occupy();
    const { servers, problems, clock } = start();
    servers.update(changes({ 'ns/web': [portOf(blocker), 1], 'ns/b': [portOf(blocker), 1] }), LOCAL);
    await vi.waitFor(() => expect(clock.armed).toHaveLength(1));
    servers.update(changes({ 'ns/web': undefined, 'ns/b': undefined }), LOCAL);
    expect(clock.armed).toEqual([]);
    expect(problems).toHaveLength(2);
    servers.update(changes({ 'ns/web': [portOf(blocker), 1] }), LOCAL);
    await vi.waitFor(() => expect(clock.armed).toHaveLength(1));
    await servers.stop();
    expect(clock.armed).toEqual([]);
    await vacate(blocker);
  });
});

describe('two Services with one port', () => {
  const contested = (port: number) => ({
    problem: {
      service: 'ns/a',
      port,
      error: `health-check node port ${port} belongs to ns/old, which is older`,
    },
    old: changes({ 'ns/old': [port, 2, 1_000] }),
    young: changes({ 'ns/a': [port, 1, 2_000] }),
  });

  it.each(['older', 'younger'])('are decided by age: here the %s comes first', async (first) => {
    const [port = 0] = await freePorts(1);
    const { problem, old, young } = contested(port);
    const { servers, problems } = start();
    for (const check of first === 'older' ? [old, young] : [young, old]) servers.update(check, LOCAL);
    await eventually(port, '200 2');
    servers.update(new Map([...young, ...old]), LOCAL);
    expect(problems).toEqual([problem]);
  });

  it('of the same age are decided by name', async () => {
    const [port = 0] = await freePorts(1);
    const { servers, problems } = start();
    servers.update(changes({ 'ns/b': [port, 2], 'ns/a': [port, 1] }), LOCAL);
    await eventually(port, '200 1');
    expect(problems).toMatchObject([{ service: 'ns/b' }]);
  });

  it('leave it to the younger when the older goes, and take it back', async () => {
    const [port = 0] = await freePorts(1);
    const { problem, old, young } = contested(port);
    const { servers, problems } = start();
    servers.update(new Map([...old, ...young]), LOCAL);
    await eventually(port, '200 2');
    servers.update(changes({ 'ns/old': undefined }), LOCAL);
    expect(await ask(port)).toMatchObject({ status: 200, body: body('a', 1, true) });
    servers.update(old, LOCAL);
    expect(await ask(port)).toMatchObject({ status: 200, body: body('old', 2, true) });
    expect(problems).toEqual([problem, problem]);
  });
});
