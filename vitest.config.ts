import { defineConfig } from 'vitest/config';

/** Unit tests run in parallel; tests on the real kernel one file at a time, as they load both cores. */
export default defineConfig({
  test: {
    allowOnly: false,
    reporters: ['default', './test/no-skips.ts'],
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/kernel/**'] } },
      {
        test: {
          name: 'kernel',
          include: ['test/kernel/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
