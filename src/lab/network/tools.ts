/** iproute2 with a deadline. Owns how its programs are run, not what they do. */
import { execa } from 'execa';
import { scaled } from './time-scale.ts';

/** Deadline; an emulated kernel is some thirty times slower than a real one. */
const DEADLINE_MS = scaled(60_000);

/** PATH with the sbin folders, where Debian has sysctl, bridge and iptables. */
export const toolEnvironment = (): { readonly PATH: string } => ({
  PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`,
});

interface IpOptions {
  /** Namespace; absent = the machine's own, for `netns` commands only. */
  readonly namespace?: string;
  /** Whether to continue after a failed line. */
  readonly force?: boolean;
  /** Whether to ignore Ctrl-C of the terminal, which reaches all child processes. */
  readonly shielded?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Runs many `ip` commands in one process: a process each would dominate the lab's cost. */
export const ipBatch = async (lines: readonly string[], options: IpOptions = {}): Promise<void> => {
  const { namespace, force = false, shielded = false, signal } = options;
  const where = namespace === undefined ? [] : ['-n', namespace];
  const { failed, isCanceled, stderr, shortMessage } = await execa(
    'ip',
    [...where, ...(force ? ['-force'] : []), '-batch', '-'],
    {
      input: `${lines.join('\n')}\n`,
      reject: false,
      detached: shielded,
      timeout: DEADLINE_MS,
      env: toolEnvironment(),
      ...(signal === undefined ? {} : { cancelSignal: signal }),
    },
  );
  if (isCanceled) throw signal?.reason ?? new Error(shortMessage);
  if (!failed || force) return;
  const line = lines[Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 0) - 1];
  throw new Error(`ip: ${line ?? shortMessage}: ${stderr.trim()}`);
};

/** State of each bridge port in a namespace, such as `forwarding`. */
export const bridgePortStates = async (
  namespace: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> => {
  const { stdout } = await execa('bridge', ['-n', namespace, '-json', 'link', 'show'], {
    timeout: DEADLINE_MS,
    env: toolEnvironment(),
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  const ports = JSON.parse(stdout === '' ? '[]' : stdout) as readonly { readonly state: string }[];
  return ports.map(({ state }) => state);
};
