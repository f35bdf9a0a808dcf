/**
 * The lab's own processes, each a sub-command: what has to run inside a namespace, or by itself.
 *
 * Not for users of the program. Each is loaded when it is asked for, as agents have to start quickly.
 */
const COMMANDS: Readonly<Record<string, () => Promise<void>>> = {
  /** Serves and probes in the namespace it was started in. */
  agent: async () => (await import('./network/agent/main.ts')).runAgent(),
  /** An API server at the addresses that the next argument says, as JSON. */
  apiserver: async () => (await import('./apiserver/process.ts')).serveApi(process.argv[3] ?? '{}'),
  /** Builds a network, prints it as JSON and keeps it for as long as it runs. */
  network: async () => (await import('./network/keep.ts')).keepNetwork(),
};

const name = process.argv[2] ?? '';
const command = COMMANDS[name];
if (command === undefined) {
  process.stderr.write(`unknown lab process "${name}"; known: ${Object.keys(COMMANDS).join(', ')}\n`);
  process.exitCode = 2;
} else {
  await command();
}
