import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { processesIn, removeLeftovers } from '../../src/lab/network/cleaning.ts';
import { processEntry } from '../../src/lab/network/entry.ts';
import { createNetwork, type Lab } from '../../src/lab/network/lab.ts';
import { listNamespaces, newPrefix } from '../../src/lab/network/names.ts';
import { describeWith, LAB_NEEDS } from './requires.ts';

/** Waits for what another process does; the test's own time-out is the deadline. */
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await sleep(20);
};

describeWith(LAB_NEEDS, 'the life of a lab', () => {
  const ours = (): readonly string[] => listNamespaces().filter((name) => name.startsWith(`pm-${process.pid}-`));
  const ownNetwork = (): string =>
    [['link'], ['address'], ['-4', 'route', 'show', 'table', 'all'], ['-6', 'route', 'show', 'table', 'all'], ['rule']]
      .map((args) =>
        spawnSync('ip', ['-json', ...args], { encoding: 'utf8' }).stdout.replace(/"(expires|\w+_life_time)":\d+/g, ''),
      )
      .join('\n');
  /** A process that ended is nobody's member any more, even while nobody has asked for its exit status. */
  const isAlive = (pid: number): boolean => spawnSync('readlink', [`/proc/${pid}/ns/net`]).status === 0;
  const labs: Lab[] = [];
  const create = async (...args: Parameters<typeof createNetwork>): Promise<Lab> => {
    const lab = await createNetwork(...args);
    labs.push(lab);
    return lab;
  };
  afterEach(async () => {
    await Promise.all(labs.splice(0).map((lab) => lab.remove()));
  });

  test('it is removed with all that runs in it, and leaves the machine as it was', async () => {
    const before = { namespaces: ours(), network: ownNetwork() };
    const lab = await create({ pods: { node1: 1, node2: 0 } });
    expect(lab.namespaces).toHaveLength(6);
    expect(ownNetwork()).toBe(before.network);
    const agent = await lab.agent('pod1');
    const spawned = lab.spawn('node1', 'sh', ['-c', 'sleep 1000 & sleep 1000']);
    await until(() => processesIn(lab.namespaces).length === 4);
    const running = processesIn(lab.namespaces);
    const pending = agent.probe({ protocol: 'tcp', host: '10.96.0.1', port: 80, timeoutMs: 30_000 });
    const failed = expect(pending).rejects.toThrow('has ended');
    await lab.remove();
    await failed;
    expect((await spawned).signal).toBe('SIGKILL');
    expect(running.filter(isAlive)).toEqual([]);
    expect(ours()).toEqual(before.namespaces);
    expect(ownNetwork()).toBe(before.network);
    await expect(lab.run('pod1', 'true')).rejects.toThrow('has been removed');
    await lab.remove();
  });

  test('two exist at once, and know nothing of each other', async () => {
    const [one, other] = await Promise.all([create(), create()]);
    await (await one.agent('pod1')).serve({ protocol: 'tcp', port: 80, name: 'one' });
    const probe = async (lab: Lab) =>
      (await lab.agent('pod3')).probe({ protocol: 'tcp', host: lab.host('pod1').ipv4, port: 80 });
    expect(await probe(one)).toMatchObject([{ kind: 'answer', server: 'one' }]);
    expect(await probe(other)).toEqual([{ kind: 'refused' }]);
  });

  test('its size is a choice', async () => {
    const lab = await create({ pods: { node1: 12 } });
    await (await lab.agent('pod12')).serve({ protocol: 'tcp', port: 80, name: 'the twelfth' });
    const outcomes = await (await lab.agent('remote2')).probe({ protocol: 'tcp', host: '10.200.0.22', port: 80 });
    expect(outcomes).toMatchObject([{ kind: 'answer', server: 'the twelfth' }]);
    await expect(createNetwork({ pods: { node2: 1000 } })).rejects.toThrow('pods.node2');
  });

  test('one that fails half-way leaves nothing, and says why', async () => {
    const before = ours();
    await expect(create({ sysctls: { 'net.ipv4.no_such_thing': '1' } })).rejects.toThrow('no_such_thing');
    expect(ours()).toEqual(before);
  });

  test.each([0, 5, 20, 60])('one that is called off after %i ms leaves nothing', async (ms) => {
    const before = ours();
    const made = create({ signal: AbortSignal.timeout(ms), pods: { node1: 50 } });
    await expect(made).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(ours()).toEqual(before);
  });

  const startKeeper = async () => {
    const keeper = spawn(process.execPath, [processEntry(), 'network'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(keeper.stdout, 'data');
    const hosts = JSON.parse(String(line)) as readonly { readonly namespace: string }[];
    return { keeper, namespaces: hosts.map(({ namespace }) => namespace) };
  };

  test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('it goes with its process: %s', async (signal) => {
    const { keeper, namespaces } = await startKeeper();
    const sleeper = spawn('ip', ['netns', 'exec', namespaces[0] ?? '', 'sleep', '1000']);
    expect(listNamespaces()).toEqual(expect.arrayContaining([...namespaces]));
    const ended = once(sleeper, 'exit');
    keeper.kill(signal);
    await until(() => !namespaces.some((namespace) => listNamespaces().includes(namespace)));
    await ended;
  });

  test('what a killed process left behind is removed, and no living one loses anything', async () => {
    const lab = await create({ pods: { node1: 1, node2: 0 } });
    const dead = spawn('sleep', ['1000']);
    const leftover = `${newPrefix(dead.pid)}node1`;
    const exited = once(dead, 'exit');
    dead.kill('SIGKILL');
    await exited;
    spawnSync('ip', ['netns', 'add', leftover]);
    const orphan = spawn('ip', ['netns', 'exec', leftover, 'sleep', '1000']);
    const ended = once(orphan, 'exit');
    await until(() => processesIn([leftover]).length === 1);
    expect(await removeLeftovers()).toContain(leftover);
    await ended;
    expect(listNamespaces()).not.toContain(leftover);
    expect(ours()).toEqual(expect.arrayContaining([...lab.namespaces]));
  });
});
