/** Time scale of the lab's deadlines: programs start many times slower in an emulated kernel. */

const FACTOR = Number(process.env.LAB_PATIENCE ?? 1);

/** Milliseconds scaled by the factor `LAB_PATIENCE`. */
export const scaled = (ms: number): number => ms * FACTOR;
