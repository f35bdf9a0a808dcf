/** Takes out what was put in first until there is room for one more; costs what it takes out, however much there is. */
export const evictOldest = (values: Map<string, unknown>, most: number): void => {
  for (const oldest of values.keys()) {
    if (values.size < most) return;
    values.delete(oldest);
  }
};
