/** A lab to look at by hand: `node dist/lab/process.js network`, then `ip netns exec` in another terminal. */
import { once } from 'node:events';
import { createNetwork } from './lab.ts';

/** Until standard input ends. Ctrl-C and `kill` end it too, and leave the clean-up to the lab's guard. */
export const keepNetwork = async (): Promise<void> => {
  const lab = await createNetwork();
  process.stdout.write(`${JSON.stringify(lab.hosts)}\n`);
  await once(process.stdin.resume(), 'end');
  await lab.remove();
};
