/** Lab for manual inspection: `node dist/lab/process.js network`, then `ip netns exec` in another terminal. */
import { once } from 'node:events';
import { createNetwork } from './lab.ts';

/** Keeps a lab until standard input ends. After Ctrl-C or `kill` its guard cleans up. */
export const keepNetwork = async (): Promise<void> => {
  const lab = await createNetwork();
  process.stdout.write(`${JSON.stringify(lab.hosts)}\n`);
  await once(process.stdin.resume(), 'end');
  await lab.remove();
};
