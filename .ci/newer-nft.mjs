/**
 * An nft newer than Debian 12's, beside the system's own: the oracle of test/kernel/nft-oracle.test.ts needs one that reads
 * `typeof` in JSON. Debian 13's package and all that it depends on, as apt resolves and verifies them, in a folder of their
 * own; the system's packages, sources and apt state stay as they are. Needs no root.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SUITE = 'trixie';
const MIRROR = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const PACKAGE = 'nftables';

/** Where the program is, below the repository's root. */
export const NEWER_NFT = 'node_modules/.cache/newer-nft/nft';

const run = (command, args) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  const reason = error?.message ?? `${stderr}${stdout}`.trim().split('\n').slice(-3).join(' ');
  throw new Error(`${command} ${args.at(-1)}: ${reason}`);
};

const isRunnable = (program) => spawnSync(program, ['--version']).status === 0;

/** Options that keep apt to this folder. With an empty list of what is installed it resolves every dependency. */
const aptOptions = (folder) => {
  const settings = {
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Sandbox::User': '',
    'APT::Get::List-Cleanup': 'false',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Debug::NoLocking': 'true',
  };
  return ['-q', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
};

const download = (folder) => {
  for (const name of ['state/lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  writeFileSync(join(folder, 'status'), '');
  writeFileSync(join(folder, 'sources.list'), `deb [signed-by=${KEYRING}] ${MIRROR} ${SUITE} main\n`);
  const options = aptOptions(folder);
  run('apt-get', [...options, '--error-on=any', 'update']);
  run('apt-get', [...options, '-y', '--no-install-recommends', '--download-only', 'install', PACKAGE]);
  const archives = join(folder, 'cache/archives');
  return readdirSync(archives).flatMap((name) => (name.endsWith('.deb') ? [join(archives, name)] : []));
};

/** Run by the loader of its own libc, with the libraries of its own release. */
const writeProgram = (folder, tree) => {
  const libraries = join(tree, 'usr/lib');
  const machine = readdirSync(libraries).find((name) => existsSync(join(libraries, name, 'libc.so.6')));
  if (machine === undefined) throw new Error(`no libc in ${libraries}`);
  const loader = readdirSync(join(libraries, machine)).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
  if (loader === undefined) throw new Error(`no loader in ${join(libraries, machine)}`);
  const own = join(libraries, machine);
  const program = join(folder, 'nft');
  writeFileSync(
    program,
    `#!/bin/sh\nexec '${join(own, loader)}' --library-path '${own}' '${join(tree, 'usr/sbin/nft')}' "$@"\n`,
  );
  chmodSync(program, 0o755);
  return program;
};

/** Fetches it unless it is there. Throws, saying what is missing, where that cannot be done. */
export const installNewerNft = (root) => {
  const program = join(root, NEWER_NFT);
  if (isRunnable(program)) return;
  for (const tool of ['apt-get', 'dpkg-deb']) {
    if (!isRunnable(tool)) throw new Error(`${tool} is missing: this is neither Debian nor Ubuntu`);
  }
  if (!existsSync(KEYRING)) throw new Error(`${KEYRING} is missing: apt-get install debian-archive-keyring`);
  const folder = join(program, '..');
  rmSync(folder, { recursive: true, force: true });
  const tree = join(folder, 'root');
  mkdirSync(tree, { recursive: true });
  for (const archive of download(folder)) run('dpkg-deb', ['-x', archive, tree]);
  for (const name of ['state', 'cache', 'status', 'sources.list']) rmSync(join(folder, name), { recursive: true });
  run(writeProgram(folder, tree), ['--version']);
};
