/** IPVS and nf_tables in one kernel: the tests of test/vm run in a virtual machine. */
import { EMULATOR, missingForVm, runInVm } from '../../src/lab/vm/vm.ts';
import { guestTests } from './guests.ts';
import { LAB_NEEDS, program } from './requires.ts';

const guestKernel = { what: missingForVm() ?? 'a guest kernel', isMet: () => missingForVm() === undefined };

await guestTests({
  title: 'a virtual machine',
  project: 'vm',
  needs: [...LAB_NEEDS, guestKernel, ...[EMULATOR, 'modprobe', 'iptables', 'nft', 'ipset', 'ipvsadm'].map(program)],
  processors: 2,
  run: (options) => runInVm({ ...options, processors: 2 }),
});
