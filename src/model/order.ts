/** Orders that are the same on every machine. */

/** Compares by code unit: unlike localeCompare, the same on every machine. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
