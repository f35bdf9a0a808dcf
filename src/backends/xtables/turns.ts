/** One after the other, whoever asks. */

export type InTurn = <T>(run: () => Promise<T>) => Promise<T>;

export const atOnce: InTurn = (run) => run();

/** Each begins when the one before has ended, however it did. */
export const oneAtATime = (): InTurn => {
  let last: Promise<unknown> = Promise.resolve();
  return (run) => {
    const result = last.then(run);
    last = result.catch(() => undefined);
    return result;
  };
};
