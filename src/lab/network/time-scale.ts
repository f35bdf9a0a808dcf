/** Deadlines of the lab in a kernel that is emulated, where a program takes many times as long to start. */

const FACTOR = Number(process.env.LAB_PATIENCE ?? 1);

/** Milliseconds to wait where a processor of its own would be given so many; `LAB_PATIENCE` says how many times as long. */
export const scaled = (ms: number): number => ms * FACTOR;
