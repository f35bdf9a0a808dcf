/** Mutex: each run begins when the one before has ended, however it ended. */
export type Lane = <T>(run: () => Promise<T>) => Promise<T>;

/** No mutex, for a resource with one user. */
export const atOnce: Lane = (run) => run();

export const newLane = (): Lane => {
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run);
    last = result.catch(() => undefined);
    return result;
  };
};
