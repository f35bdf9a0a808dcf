/**
 * Requests the URLs in its arguments continuously, each with a new connection, as a kubelet and a Prometheus do. For
 * each line on stdin it prints the longest answer time since the last line, in milliseconds, by URL.
 */
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 50;

const longest = new Map<string, number>();

/** Answer time in milliseconds; undefined when the connection is refused. */
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
