/** Cost of one change in mode nftables, from the resolved Service to the end of the transaction. */
import { packageFile } from '../src/lab/network/entry.ts';
import { createNetwork } from '../src/lab/network/lab.ts';

const SIZES = ['1000', '5000', '10000'];

export const transaction = async (): Promise<void> => {
  const lab = await createNetwork();
  try {
    const args = [packageFile('dist/bench/inside/transaction.js'), ...SIZES];
    const { stdout } = await lab.run('node1', process.execPath, args, { timeoutMs: 120_000 });
    process.stdout.write(stdout);
  } finally {
    await lab.remove();
  }
};
