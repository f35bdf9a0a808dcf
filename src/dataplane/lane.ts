<<<<<<< HEAD
/** One user at a time: each run begins when the one before has ended, however it ended. */
export type Lane = <T>(run: () => Promise<T>) => Promise<T>;

export const newLane = (): Lane => {
=======
/** Turns: what must not run beside another runs behind it, each when the one before has ended, however it did. */

export type Lane = <T>(run: () => Promise<T>) => Promise<T>;

/** For what nobody else uses. */
export const atOnce: Lane = (run) => run();

/** One at a time, in the order in which they asked. Whoever waits within its own turn for another waits for ever. */
export const createLane = (): Lane => {
>>>>>>> 9118395 (nftables: affinity has two hooks whatever the time-outs, nobody waits for clients to be forgotten, reads have sockets of their own and take turns)
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run);
    last = result.catch(() => undefined);
    return result;
  };
};
