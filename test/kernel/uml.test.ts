/** Mode ipvs on a kernel that has IPVS: the tests of test/uml run in User Mode Linux. */
import { runInUml } from '../../src/lab/uml/uml.ts';
import { guestTests } from './guests.ts';
import { LAB_NEEDS, program } from './requires.ts';

await guestTests({
  title: 'User Mode Linux',
  project: 'uml',
  needs: [
    ...LAB_NEEDS,
    ...['linux.uml', 'modprobe', 'iptables-legacy', 'ipset', 'ipvsadm', 'conntrack', 'socat', 'cc'].map(program),
  ],
  processors: 1,
  run: runInUml,
});
