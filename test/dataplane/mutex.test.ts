import { describe, expect, it } from 'vitest';
import { type Mutex, newMutex, unlocked } from '../../src/dataplane/mutex.ts';

/** Starts three tasks that end in the opposite order if they may, the second with an error; tells what happened when. */
const threeTasks = async (inTurn: Mutex): Promise<readonly string[]> => {
  const events: string[] = [];
  const task = (name: string, turns: number) =>
    inTurn(async () => {
      events.push(`${name} begins`);
      for (let i = 0; i < turns; i += 1) await new Promise(setImmediate);
      events.push(`${name} ends`);
      if (name === 'b') throw new Error('b fails');
      return name;
    });
  const results = await Promise.allSettled([task('a', 6), task('b', 4), task('c', 2)]);
  return [
    ...events,
    ...results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
  ];
};

describe('what takes turns', () => {
  it('runs one at a time, also after a failure', async () => {
    const events = ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends', 'a', 'Error: b fails', 'c'];
    expect(await threeTasks(newMutex())).toEqual(events);
  });

  it('runs all at once where nothing speaks against it', async () => {
    const events = ['a begins', 'b begins', 'c begins', 'c ends', 'b ends', 'a ends', 'a', 'Error: b fails', 'c'];
    expect(await threeTasks(unlocked)).toEqual(events);
  });
});
