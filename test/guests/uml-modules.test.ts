/** Mode ipvs on a kernel whose module is not loaded: it is loaded, or else named at the start. */
import { expect, it } from 'vitest';
import { runInUml } from '../../src/lab/uml/uml.ts';
import { describeWith, LAB_NEEDS, program } from '../kernel/requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;

describeWith(
  [...LAB_NEEDS, program('linux.uml'), program('modprobe'), program('cc')],
  'the kernel module ip_vs',
  () => {
    it('is loaded when it is missing', async () => {
      const running = `${process.execPath} ${MAIN} run --proxy-mode=ipvs --source=files:/run/netns`;
      const { output } = await runInUml({
        command: [
          'sh',
          '-c',
          `grep -c '^ip_vs ' /proc/modules; timeout -s TERM 15 ${running}; grep '^ip_vs ' /proc/modules`,
        ],
        workingDirectory: '/',
        modules: ['veth'],
        timeoutMs: 90_000,
      });
      expect(output).toMatch(/^0\n/);
      expect(output).toMatch(/"ipFamily":"IPv4","fullSync":true/);
      expect(output).toMatch(/^ip_vs \d/m);
    });

    it('is named when it cannot be loaded', async () => {
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
  },
);
