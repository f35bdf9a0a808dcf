/**
 * A network namespace for one test: sockets opened in it stay in it, whatever the process does later, so nothing need be
 * bundled and run elsewhere. Its name is a lab's, so that what a killed run leaves is removed as theirs is.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NETNS_FOLDER, newPrefix } from '../../src/lab/network/names.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { openSocket, PROTOCOL } from '../../src/netlink/socket.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { type Need, namespaces, program } from './requires.ts';

const CLONE_NEWNET = 0x40000000;
const MAX_OUTPUT = 1 << 28;

export interface Namespace {
  readonly name: string;
  readonly nftables: Nftables;
  readonly connection: NetlinkConnection;
  /** Sockets that `what` opens are in it. */
  enter<T>(what: () => T): T;
  /** Runs a program in it; gives what it prints. Throws, with its words, when it fails. */
  run(program: string, ...args: readonly string[]): string;
  /** Runs it with a file of this text as its last argument: nft does not read every kind of standard input. */
  runOn(text: string, program: string, ...args: readonly string[]): string;
  remove(): void;
}

/** This thread, and with it all sockets that it opens, is in the namespace until `what` returns. */
export const inside = <T>(name: string, what: () => T): T => {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const setns = koffi.load(null).func('int setns(int, int)');
  const enter = (fd: number): void => {
    if (setns(fd, CLONE_NEWNET) !== 0) throw new Error(`setns ${name}: errno ${koffi.errno()}`);
  };
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const other = openSync(join(NETNS_FOLDER, name), 'r');
  try {
    enter(other);
    try {
      return what();
    } finally {
      enter(home);
    }
  } finally {
    closeSync(other);
    closeSync(home);
  }
};

export const createNamespace = (): Namespace => {
  const name = `${newPrefix()}nft`;
  const run: Namespace['run'] = (file, ...args) =>
    execFileSync('ip', ['netns', 'exec', name, file, ...args], {
      encoding: 'utf8',
      maxBuffer: MAX_OUTPUT,
      stdio: 'pipe',
    });
  execFileSync('ip', ['netns', 'add', name]);
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-nft-'));
  const connection = inside(name, () => new NetlinkConnection(openSocket(PROTOCOL.NETFILTER)));
  return {
    name,
    nftables: new Nftables(connection),
    connection,
    enter: (what) => inside(name, what),
    run,
    runOn: (text, file, ...args) => {
      const path = join(folder, 'input');
      writeFileSync(path, text);
      return run(file, ...args, path);
    },
    remove: () => {
      connection.close();
      execFileSync('ip', ['netns', 'delete', name]);
      rmSync(folder, { recursive: true });
    },
  };
};

/** A namespace for as long as `use` runs. */
export const withNamespace = <T>(use: (namespace: Namespace) => T): T => {
  const namespace = createNamespace();
  try {
    return use(namespace);
  } finally {
    namespace.remove();
  }
};

export const NAMESPACE_NEEDS: readonly Need[] = [program('ip'), namespaces];
