/**
 * Asks the addresses in its arguments again and again, each with a connection of its own, as a kubelet and a Prometheus do;
 * for each line on stdin it prints how long the longest answer since the last line took, in milliseconds, by address.
 */
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 50;

const longest = new Map<string, number>();

/** Undefined when nobody listens. */
const answerMs = (url: string): Promise<number | undefined> =>
  new Promise((resolve) => {
    const startedAt = performance.now();
    get(url, { agent: false }, (response) => {
      response.on('error', () => resolve(undefined));
      response.on('end', () => resolve(performance.now() - startedAt)).resume();
    }).on('error', () => resolve(undefined));
  });

const ask = async (url: string): Promise<never> => {
  for (;;) {
    const ms = await answerMs(url);
    if (ms !== undefined) longest.set(url, Math.max(ms, longest.get(url) ?? 0));
    await sleep(EVERY_MS);
  }
};

for (const url of process.argv.slice(2)) void ask(url);
for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(Object.fromEntries(longest))}\n`);
  longest.clear();
}
process.exit();
