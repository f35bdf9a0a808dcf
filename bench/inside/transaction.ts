/**
 * One change in mode nftables, in this network namespace: compiled, compared and written by the engine, with many
 * Services in the kernel. The time inside send(2) is the kernel's.
 */

import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { openKernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { manyServices, serviceObjects } from '../../src/lab/many.ts';
import type { Work } from '../../src/model/family-work.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { openSocket, PROTOCOL, type Socket } from '../../src/netlink/socket.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { openTracker } from './node.ts';

const ENDPOINTS = 5;
const ROUNDS = 200;
let inKernel = 0;

/** Socket whose sends are timed. */
const timed = (socket: Socket): Socket => ({
  ...socket,
  send: (datagram) => {
    const startedAt = performance.now();
    socket.send(datagram);
    inKernel += performance.now() - startedAt;
  },
});

const sockets = {
  ...openKernelSockets(),
  writer: new Nftables(new NetlinkConnection(timed(openSocket(PROTOCOL.NETFILTER)))),
};

const median = (values: readonly number[]): string =>
  ([...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN).toFixed(3);

const measure = async (services: number): Promise<void> => {
  const tracker = openTracker();
  const objects = manyServices(0, services, ENDPOINTS);
  const ofKind = (kind: ObjectKind) => objects.filter((object) => object.kind === kind);
  for (const kind of OBJECT_KINDS) tracker.replace(kind, ofKind(kind));
  const reconciler = new Reconciler(nftablesBackend({ family: 'IPv4', sockets }), {
    signal: new AbortController().signal,
  });
  await reconciler.sync(tracker.take('IPv4'));
  const times = async (change: (round: number) => unknown): Promise<readonly [all: string, kernel: string]> => {
    const all: number[] = [];
    const kernel: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      tracker.put('EndpointSlice', change(round));
      const input: Work = tracker.take('IPv4');
      inKernel = 0;
      const startedAt = performance.now();
      await reconciler.sync(input);
      all.push(performance.now() - startedAt);
      kernel.push(inKernel);
    }
    return [median(all), median(kernel)];
  };
  const replaced = await times((round) => serviceObjects(7, ENDPOINTS, `10.201.0.${(round % 250) + 1}`)[1]);
  const resized = await times((round) => serviceObjects(7, ENDPOINTS + (round % 2))[1]);
  const show = (what: string, [all, kernel]: readonly [string, string]): void =>
    console.log(
      `${`${what}, nftables ${services}×${ENDPOINTS}`.padEnd(46)} p50 ms ${all}  of it in the kernel ${kernel}`,
    );
  show('one endpoint replaced', replaced);
  show('one endpoint more or less', resized);
  sockets.writer.run([{ delete: { table: { family: 'ip', name: 'kube-proxy' } } }]);
};

for (const size of process.argv.slice(2)) await measure(Number(size));
