/** Mode ipvs on a kernel without its module: said at the start, by name. */
import { expect, it } from 'vitest';
import { runInUml } from '../../src/lab/uml/uml.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;

describeWith([...LAB_NEEDS, program('linux.uml'), program('cc')], 'a kernel without modules', () => {
  it('is refused, and the module that is missing is named', async () => {
    const { exitCode, output } = await runInUml({
      command: [process.execPath, MAIN, 'run', '--proxy-mode=ipvs', '--source=files:/run'],
      workingDirectory: '/',
      modules: [],
      timeoutMs: 60_000,
    });
    expect(output).toMatch(
      /pointsman: mode ipvs needs the kernel module ip_vs, which is not loaded and cannot be loaded: \S/,
    );
    expect(exitCode).toBe(1);
  });
});
