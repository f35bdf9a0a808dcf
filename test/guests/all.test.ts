/**
 * What this machine's kernel may not have: the tests of test/uml run in User Mode Linux, which has IPVS; those of test/vm in a
 * virtual machine, whose kernel has IPVS and nf_tables.
 */
import { runInUml } from '../../src/lab/uml/uml.ts';
import { EMULATOR, missingForVm, runInVm } from '../../src/lab/vm/vm.ts';
import { LAB_NEEDS, program } from '../kernel/requires.ts';
import { guestTests } from './guests.ts';

const guestKernel = { what: missingForVm() ?? 'a guest kernel', isMet: () => missingForVm() === undefined };

await guestTests([
  {
    title: 'a virtual machine',
    project: 'vm',
    patience: 6,
    needs: [
      ...LAB_NEEDS,
      guestKernel,
      ...[EMULATOR, 'modprobe', 'iptables', 'nft', 'ipset', 'ipvsadm', 'socat'].map(program),
    ],
    run: (options) => runInVm({ ...options, processors: 2 }),
  },
  {
    title: 'User Mode Linux',
    project: 'uml',
    patience: 2,
    needs: [
      ...LAB_NEEDS,
      ...['linux.uml', 'modprobe', 'iptables-legacy', 'ipset', 'ipvsadm', 'conntrack', 'socat', 'cc'].map(program),
    ],
    run: runInUml,
  },
]);
