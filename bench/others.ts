/** Cost of one change in mode nftables while an unrelated Service has many clients, or many time-outs. */
import { packageFile } from '../src/lab/network/entry.ts';
import { createNetwork } from '../src/lab/network/lab.ts';

export const others = async (): Promise<void> => {
  const lab = await createNetwork();
  try {
    const args = [packageFile('dist/bench/inside/others.js')];
    const { stdout } = await lab.run('node1', process.execPath, args, { timeoutMs: 300_000 });
    process.stdout.write(stdout);
  } finally {
    await lab.remove();
  }
};
