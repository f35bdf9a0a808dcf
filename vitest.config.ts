import { defineConfig } from 'vitest/config';

/** Run by test/kernel/uml.test.ts and vm.test.ts in kernels of their own, which are many times slower. */
const guestProject = (name: string) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
const guest = process.env.POINTSMAN_GUEST;

/** Unit tests run in parallel; tests on the real kernel one file at a time, as they load both cores. */
export default defineConfig({
  test: {
    allowOnly: false,
    reporters: ['default', './test/no-skips.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/kernel/**', 'test/uml/**', 'test/vm/**'],
        },
      },
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
      ...(guest === undefined ? [] : [guestProject(guest)]),
    ],
  },
});
