/** Mutex: each run begins when the one before has ended, however it ended. */
export type Mutex = <T>(run: () => Promise<T>) => Promise<T>;

/** No mutex, for a resource with one user. */
export const unlocked: Mutex = (run) => run();

export const newMutex = (): Mutex => {
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run);
    last = result.catch(() => undefined);
    return result;
  };
};
