/**
 * Settings of connection tracking in a real kernel, in a network namespace: its time-outs are its own. The size of the
 * table is the machine's, so it is asked for only where nothing can be written.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import type { ConntrackConfig } from '../../src/config/config.ts';
import { CONNTRACK_PATHS } from '../../src/config/conntrack-settings.ts';
import { describeWith, namespaces, program } from './requires.ts';

const CONFIG: ConntrackConfig = {
  maxPerCore: 0,
  min: 0,
  tcpEstablishedTimeoutMs: 4_321_000,
  tcpCloseWaitTimeoutMs: 1_234_000,
  tcpBeLiberal: true,
  udpTimeoutMs: 21_000,
  udpStreamTimeoutMs: 87_000,
};
const WANTED: Readonly<Record<string, number>> = {
  tcp_timeout_established: 4_321,
  tcp_timeout_close_wait: 1_234,
  udp_timeout: 21,
  udp_timeout_stream: 87,
  tcp_be_liberal: 1,
};

interface Report {
  /** How many settings each of two runs wrote. */
  readonly written: readonly number[];
  /** By the last part of the name. */
  readonly after: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
  readonly informed: readonly string[];
}

/** Nothing is there, and nothing can be made. */
const HIDDEN = 'mount -t tmpfs none /proc/sys && mkdir -p /proc/sys/net/netfilter && mount -o remount,ro /proc/sys';

const ofMachine = (): readonly string[] => CONNTRACK_PATHS.map((path) => readFileSync(path, 'utf8'));

/** Applied twice, as two starts of the program would. */
const scenario = (config: ConntrackConfig): string => `
import { readFileSync } from 'node:fs';
import { CONNTRACK_PATHS as paths, conntrackSettings } from './config/conntrack-settings.ts';
import { applyConntrackSettings } from './kernel/conntrack-settings.ts';
const warnings = [];
const informed = [];
const written = [];
for (let i = 0; i < 2; i += 1) {
  const choose = (present) => conntrackSettings(${JSON.stringify(config)}, 1, present);
  written.push((await applyConntrackSettings({ paths, choose, warn: (message) => warnings.push(message), inform: (message) => informed.push(message) })).length);
}
const names = ${JSON.stringify(Object.keys(WANTED))};
const read = (name) => {
  try {
    return Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_' + name, 'utf8'));
  } catch {
    return -1;
  }
};
const after = Object.fromEntries(names.map((name) => [name, read(name)]));
process.stdout.write(JSON.stringify({ written, after, warnings, informed }));
`;

/** In fresh namespaces, after this. */
const inNamespace = async (config: ConntrackConfig, before = 'true'): Promise<Report> => {
  const resolveDir = fileURLToPath(new URL('../../src', import.meta.url));
  const bundle = await build({
    stdin: { contents: scenario(config), resolveDir, loader: 'js' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
  });
  const input = bundle.outputFiles[0]?.text ?? '';
  const command = [process.execPath, '--input-type=module', '-'];
  const args = ['--net', '--mount', 'sh', '-c', `${before} && exec "$@"`, 'sh', ...command];
  const { stdout, stderr } = spawnSync('unshare', args, { input, encoding: 'utf8' });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Report;
};

describeWith([program('unshare'), program('mount'), namespaces], 'connection tracking in a namespace', () => {
  it('has the time-outs asked for after the first start; the second one writes nothing, and others keep theirs', async () => {
    const before = ofMachine();
    expect(await inNamespace(CONFIG)).toEqual({ written: [5, 0], after: WANTED, warnings: [], informed: [] });
    expect(ofMachine()).toEqual(before);
  });

  it('stays as it is where nothing can be written, and each setting is told, as no fault', async () => {
    const before = ofMachine();
    const readOnly = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys';
    const { written, warnings, informed } = await inNamespace({ ...CONFIG, maxPerCore: 4_096 }, readOnly);
    expect(written).toEqual([0, 0]);
    const told = ['max cannot be set to 4096', ...Object.entries(WANTED).map(([n, v]) => `${n} cannot be set to ${v}`)];
    expect(warnings).toEqual([]);
    expect(informed.slice(0, told.length)).toEqual(
      told.map((text) =>
        expect.stringMatching(new RegExp(`^kernel setting net\\.netfilter\\.nf_conntrack_${text} and .*: EROFS`)),
      ),
    );
    expect(ofMachine()).toEqual(before);
  });

  it('that is not shown, and can be written by nobody here, is nothing to talk about', async () => {
    const { written, warnings, informed } = await inNamespace(CONFIG, HIDDEN);
    expect({ written, warnings, informed }).toEqual({ written: [0, 0], warnings: [], informed: [] });
  });
});
