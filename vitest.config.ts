import { defineConfig } from 'vitest/config';

/** Run by test/kernel/uml.test.ts in a kernel of their own, which is many times slower. */
const umlProject = {
  test: {
    name: 'uml',
    include: ['test/uml/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
};

/** Unit tests run in parallel; tests on the real kernel one file at a time, as they load both cores. */
export default defineConfig({
  test: {
    allowOnly: false,
    reporters: ['default', './test/no-skips.ts'],
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/kernel/**', 'test/uml/**'] } },
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
      ...(process.env.POINTSMAN_IN_UML === undefined ? [] : [umlProject]),
    ],
  },
});
