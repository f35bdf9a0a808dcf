/**
 * Processes of the lab, each a sub-command: what has to run inside a namespace, or by itself.
 *
 * Not for users of the program. Modules are loaded on demand, as agents have to start quickly.
 */
const COMMANDS: Readonly<Record<string, () => Promise<void>>> = {
  /** Agent in the namespace that it was started in. */
  agent: async () => (await import('./network/agent/main.ts')).runAgent(),
  /** API server; the next argument has its options as JSON. */
  apiserver: async () => (await import('./apiserver/process.ts')).serveApi(process.argv[3] ?? '{}'),
  /** Lab network, printed as JSON and kept while the process runs. */
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
