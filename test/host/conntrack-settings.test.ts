/** The applier over a folder that stands for the root of a machine. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyConntrackSettings, type KernelSetting } from '../../src/kernel/conntrack-settings.ts';

const MAX = '/proc/sys/net/netfilter/nf_conntrack_max';
const UDP = '/proc/sys/net/netfilter/nf_conntrack_udp_timeout';
const HASH_SIZE = '/sys/module/nf_conntrack/parameters/hashsize';

let root: string;
let warnings: string[];
let informed: string[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pointsman-settings-'));
  warnings = [];
  informed = [];
});
afterEach(() => rm(root, { recursive: true }));

const put = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
};
const textOf = (path: string): Promise<string> => readFile(join(root, path), 'utf8');

const apply = (
  settings: readonly KernelSetting[],
  onPresent: (present: ReadonlyMap<string, number>) => void = () => {},
) =>
  applyConntrackSettings({
    root,
    paths: [MAX, UDP, HASH_SIZE],
    choose: (present) => {
      onPresent(present);
      return settings;
    },
    warn: (message) => warnings.push(message),
    inform: (message) => informed.push(message),
  });

describe('settings of connection tracking', () => {
  it('are chosen by what is there, as numbers, and written as chosen', async () => {
    await put(MAX, '262144\n');
    await put(HASH_SIZE, '65536\n');
    let seen: ReadonlyMap<string, number> = new Map();
    const settings = [
      { path: MAX, value: 1_000 },
      { path: HASH_SIZE, value: 250 },
    ];
    const written = await apply(settings, (present) => {
      seen = present;
    });
    expect([...seen]).toEqual([
      [MAX, 262_144],
      [HASH_SIZE, 65_536],
    ]);
    expect(written).toEqual(settings);
    expect(await textOf(MAX)).toBe('1000');
    expect(await textOf(HASH_SIZE)).toBe('250');
    expect(warnings).toEqual([]);
  });

  it('are left alone when nothing is chosen', async () => {
    await put(MAX, '262144\n');
    expect(await apply([])).toEqual([]);
    expect(await textOf(MAX)).toBe('262144\n');
  });

  it('that cannot be written are told by name, value and error, and the others are written', async () => {
    await put(MAX, '262144\n');
    await mkdir(join(root, UDP)); // a folder takes no text, not even root's
    const written = await apply([
      { path: UDP, value: 30 },
      { path: HASH_SIZE, value: 250 },
      { path: MAX, value: 1_000 },
    ]);
    expect(written).toEqual([{ path: MAX, value: 1_000 }]);
    expect(await textOf(MAX)).toBe('1000');
    expect(warnings).toEqual([
      expect.stringMatching(
        /^kernel setting net\.netfilter\.nf_conntrack_udp_timeout cannot be set to 30 and stays as it is \(unknown\): EISDIR/,
      ),
      expect.stringMatching(
        /^kernel setting \/sys\/module\/nf_conntrack\/parameters\/hashsize cannot be set to 250 and stays as it is \(unknown\): ENOENT/,
      ),
    ]);
  });
});
