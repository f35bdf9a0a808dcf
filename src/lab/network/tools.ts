/** Runs iproute2, with a deadline. Owns how its programs are called; knows nothing of what they are told to do. */
import { execa } from 'execa';
import { scaled } from './time-scale.ts';

/** Generous, as an emulated kernel is some thirty times slower than a real one. */
const DEADLINE_MS = scaled(60_000);

/** Debian keeps sysctl, bridge and iptables where not every user's PATH looks. */
export const toolEnvironment = (): { readonly PATH: string } => ({
  PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`,
});

interface IpOptions {
  /** The namespace to work in; the machine's own when absent, where only `netns` commands belong. */
  readonly namespace?: string;
  /** Go on after a line that fails. */
  readonly force?: boolean;
  /** Ctrl-C in a terminal, which reaches all that a command has started, is not to stop it. */
  readonly shielded?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Runs many `ip` commands in one process: starting one each would be most of a lab's cost. */
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

/** The state of each port of the bridges in a namespace, such as `forwarding`. */
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
