/**
 * Clean-up after this process ended without one: Ctrl-C, `process.exit`, a crash, SIGKILL.
 *
 * A shell in its own session waits for the end of a pipe whose write end only this process holds; the kernel closes it
 * however the process ends. A signal handler could not, and would interfere with the program's own.
 */
import { tmpdir } from 'node:os';
import { execa } from 'execa';
import { NETNS_FOLDER } from './names.ts';
import { toolEnvironment } from './tools.ts';

export interface Guard {
  /** Ends the guard without clean-up. */
  dismiss(): Promise<void>;
}

/** Shell script that cleans up twice, as an `ip` process may outlive this one and still create a namespace. */
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

/** Starts a guard for all namespaces and temporary folders whose names begin with `prefix`. */
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
  shell.unref(); // a lab that was not removed must not keep this process alive
  return {
    dismiss: async () => {
      shell.ref();
      shell.stdin.end('dismissed\n');
      await shell;
    },
  };
};
