/** Under CI nothing skips: a test that did not run fails the run. */
import type { Reporter, TestModule } from 'vitest/node';

export default class NoSkips implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    if (process.env.CI === undefined) return;
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        if (test.result().state !== 'skipped') continue;
        process.stderr.write(`skipped under CI: ${module.moduleId} > ${test.fullName}\n`);
        process.exitCode = 1;
      }
    }
  }
}
