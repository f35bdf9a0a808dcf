/** Deletes the oldest entries until there is room for one more; its cost is that of the deletions only. */
export const evictOldest = (values: Map<string, unknown>, most: number): void => {
  for (const oldest of values.keys()) {
    if (values.size < most) return;
    values.delete(oldest);
  }
};
