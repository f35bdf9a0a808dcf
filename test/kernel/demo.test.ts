/** The demo as its users run it: what it shows, what it leaves behind, and how it ends when it is not to go on. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { listNamespaces } from '../../src/lab/network/names.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
/** In the environment of the demo, and so of everything that it starts. */
const MARK = 'POINTSMAN_DEMO_TEST';

interface Demo {
  readonly child: ChildProcess;
  readonly mark: string;
  stdout(): string;
  stderr(): string;
  /** Resolves when it has said this. */
  waitForLog(text: string): Promise<void>;
  readonly ended: Promise<number | null>;
}

/** In a process group of its own, as a shell would start it. */
const startDemo = (command: readonly string[] = []): Demo => {
  const mark = randomUUID();
  const [program = '', ...args] = [...command, process.execPath, MAIN, 'demo'];
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, [MARK]: mark },
  });
  onTestFinished(() => void child.kill('SIGKILL')); // one that a failed test left behind; its guard takes the lab down
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    child,
    mark,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    waitForLog: async (text) => {
      while (!said.stdout.includes(text)) {
        if (child.exitCode !== null) throw new Error(`it has ended without "${text}":\n${said.stdout}${said.stderr}`);
        await sleep(5);
      }
    },
    ended,
  };
};

/** The processes that a demo started, whether in a namespace or not. */
const processesOf = ({ mark }: Demo): readonly string[] =>
  readdirSync('/proc').filter((entry) => {
    try {
      return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/environ`, 'latin1').includes(`${MARK}=${mark}`);
    } catch {
      return false; // it has just ended
    }
  });

const namesOf = ({ child }: Demo, names: readonly string[]): readonly string[] =>
  names.filter((name) => name.startsWith(`pm-${child.pid}-`));

const expectNothingLeft = (demo: Demo): void => {
  expect(namesOf(demo, listNamespaces())).toEqual([]);
  expect(namesOf(demo, readdirSync(tmpdir()))).toEqual([]);
  expect(processesOf(demo)).toEqual([]);
};

/** The row of a table that begins with these cells. */
const rowOf = (text: string, ...cells: readonly string[]): readonly string[] => {
  const line = text.split('\n').find((candidate) => new RegExp(`^\\s*${cells.join('\\s+')}\\s`).test(candidate));
  if (line === undefined) throw new Error(`no row ${cells.join(' ')} in:\n${text}`);
  return line
    .replace(new RegExp(`^\\s*${cells.join('\\s+')}`), '')
    .trim()
    .split(/\s+/);
};

describeWith([...LAB_NEEDS, program('iptables'), program('ip6tables')], 'the demo', () => {
  test('shows what it is to show, keeps all claims and leaves nothing', async () => {
    const demo = startDemo();
    const code = await demo.ended;
    const text = demo.stdout();
    expect(code, text).toBe(0);
    expect(demo.stderr()).toBe('');
    for (const from of ['pod3', 'node1', 'node2', 'outside']) {
      for (const by of [from === 'outside' ? 'ClusterIP\\*' : 'ClusterIP', 'NodePort at node1', 'NodePort at node2']) {
        const [pod1, pod2, remote1, remote2, failed] = rowOf(text, from, by).map(Number);
        expect([pod1, pod2, remote1, remote2].every((count) => (count ?? 0) > 0)).toBe(true);
        expect(failed).toBe(0);
      }
    }
    expect(rowOf(text, 'pod3', 'ClusterIP').slice(5).join(' ')).toBe('pod3 (10.200.0.13)');
    expect(rowOf(text, 'outside', 'NodePort at node2').slice(5).join(' ')).toContain('node2');
    expect(rowOf(text, 'remote2 stopped')[3]).toBe('0');
    expect(Number(rowOf(text, 'kill -9 \\d+: nobody there')[0])).toBeGreaterThan(0);
    expect(text).toMatch(/-A KUBE-SERVICES -d 10\.96\.0\.80\/32 [\s\S]* -j KUBE-SVC-\w{16}\n/);
    expect(text).toMatch(/-A KUBE-NODEPORTS [\s\S]*--dport 30080\s+-j KUBE-EXT-\w{16}\n/);
    expect(text.match(/-A KUBE-SEP-\w{16} -p tcp -m tcp -j DNAT --to-destination \S+:8080/g)).toHaveLength(4);
    expect(text).toMatch(/✔ (\d+) of \1 claims kept; [\d,]+ requests, 0 failed; \d+ seconds/);
    expect(text).not.toContain('✘');
    expect(text).not.toContain('\u001b');
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
    expectNothingLeft(demo);
  });

  test.each([
    'outside 10.250.0.9',
    'The API server listens',
    'What node1 says',
    'echo  UDP',
    'Balancing',
    'Load on web',
    'is killed and started again',
  ])('leaves nothing when Ctrl-C comes after "%s"', async (text) => {
    const demo = startDemo();
    await demo.waitForLog(text);
    process.kill(-(demo.child.pid ?? 0), 'SIGINT'); // as a terminal does: to all of the group
    expect(await demo.ended).toBe(130);
    expect(demo.stdout()).toMatch(/Stopped by SIGINT\. All that was made is removed\.\n$/);
    expect(demo.stderr()).toBe('');
    expectNothingLeft(demo);
  });

  test('leaves nothing when Ctrl-C comes again and again', async () => {
    const demo = startDemo();
    await demo.waitForLog('Balancing');
    for (let i = 0; i < 3; i += 1) {
      process.kill(-(demo.child.pid ?? 0), 'SIGINT');
      await sleep(2); // so that the later ones come while it cleans up
    }
    expect(await demo.ended).toBe(130);
    expect(demo.stderr()).toBe('');
    expectNothingLeft(demo);
  });

  test('leaves nothing on SIGTERM', async () => {
    const demo = startDemo();
    await demo.waitForLog('Balancing');
    demo.child.kill('SIGTERM');
    expect(await demo.ended).toBe(143);
    expectNothingLeft(demo);
  });

  test('leaves nothing when its reader has seen enough', async () => {
    const demo = startDemo();
    await demo.waitForLog('Balancing');
    demo.child.stdout?.destroy();
    expect(await demo.ended).toBe(141);
    expect(demo.stderr()).toBe('');
    expectNothingLeft(demo);
  });

  test('says which claim is not kept, ends with 1, and leaves nothing', async () => {
    const demo = startDemo();
    await demo.waitForLog('Load on web');
    const [node] = namesOf(demo, listNamespaces()).filter((name) => name.endsWith('-node1'));
    const flow = ['-s', '10.250.0.9', '-d', '10.200.0.11', '-p', 'tcp'];
    const refuse = ['-w', '-I', 'FORWARD', ...flow, '-j', 'REJECT', '--reject-with', 'tcp-reset'];
    expect(spawnSync('ip', ['netns', 'exec', node ?? '', 'iptables', ...refuse]).status).toBe(0);
    expect(await demo.ended).toBe(1);
    expect(demo.stdout()).toMatch(/✘ [\d,]+ requests, [1-9][\d,]* failed \(.*refused ×/);
    expect(demo.stderr()).toMatch(/^pointsman: claims that were not kept: \d+\n$/);
    expectNothingLeft(demo);
  });

  test('says what is missing, a line each, before it makes anything', async () => {
    // may read all files all the same, as the package may lie where only root can
    const caps = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
    const demo = startDemo(['setpriv', '--reuid=65534', ...caps, 'env', 'PATH=/nonexistent']);
    expect(await demo.ended).toBe(1);
    expect(demo.stdout()).toBe('');
    const [title, root, ...programs] = demo.stderr().trimEnd().split('\n');
    expect(title).toBe('pointsman: the demo cannot run here, as it needs');
    expect(root).toBe('  root, as it makes network namespaces');
    expect(programs).toContain('  the program unshare (Debian package util-linux)');
    expectNothingLeft(demo);
  });
});
