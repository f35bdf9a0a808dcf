import { defineConfig } from 'vitest/config';

/** Run by test/guests/all.test.ts in kernels of their own, which are many times slower. */
const guestProject = (name: string) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 300_000,
  },
});
const guest = process.env.POINTSMAN_GUEST;

/** One file at a time, as they load the processors. */
const onThisKernel = (name: string) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    sequence: { groupOrder: 1 },
  },
});

export default defineConfig({
  test: {
    allowOnly: false,
    // a difference is shown whole: what ran in a guest leaves nothing else to look at
    chaiConfig: { truncateThreshold: 0 },
    reporters: ['default', './test/no-skips.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['kernel', 'guests', 'uml', 'vm'].map((name) => `test/${name}/**`),
          // properties over many random lives, on processors that others use too
          testTimeout: 30_000,
        },
      },
      onThisKernel('kernel'),
      onThisKernel('guests'),
      ...(guest === undefined ? [] : [guestProject(guest)]),
    ],
  },
});
