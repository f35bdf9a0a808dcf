/**
 * Clean-up for the case that this process ends without any: Ctrl-C, `process.exit`, a crash, even SIGKILL.
 *
 * A shell in a session of its own waits for the end of a pipe whose other end only this process holds; the kernel
 * closes it however the process ends. No signal handler could do that, and none gets in the way of the program's own.
 */
import { tmpdir } from 'node:os';
import { execa } from 'execa';
import { NETNS_FOLDER } from './names.ts';
import { toolEnvironment } from './tools.ts';

export interface Guard {
  /** Ends the guard without a clean-up. */
  dismiss(): Promise<void>;
}

/** Twice, as an `ip` of ours may outlive us by a moment and still create what it was told to. */
const SCRIPT = `
read -r word && [ "$word" = dismissed ] && exit 0
for pause in 0 1; do
  sleep $pause
  for path in ${NETNS_FOLDER}/"$1"*; do
    [ -e "$path" ] || continue
    pids=$(ip netns pids "\${path##*/}") && [ -n "$pids" ] && kill -9 $pids
    ip netns delete "\${path##*/}"
  done
  rm -rf -- "$2/$1"*
done
`;

/** Guards all namespaces, and folders for temporary files, whose names begin with `prefix`. */
export const startGuard = (prefix: string): Guard => {
  const shell = execa('sh', ['-c', SCRIPT, 'lab-guard', prefix, tmpdir()], {
    detached: true,
    cleanup: false,
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
    reject: false,
    env: toolEnvironment(),
  });
  shell.unref(); // a lab that nobody removed is no reason to stay alive, and ends with us
  return {
    dismiss: async () => {
      shell.ref();
      shell.stdin.end('dismissed\n');
      await shell;
    },
  };
};
