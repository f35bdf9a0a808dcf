/**
 * Cost of mode ipvs on a kernel with IPVS: sends, messages, processes, CPU seconds. Run by `npm run bench ipvs` inside
 * User Mode Linux, whose seconds are many times longer than a real machine's and serve comparison only.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ipvsBackend, openKernel } from '../../src/backends/ipvs/index.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { findTools } from '../../src/kernel/iptables.ts';
import { manyServices, serviceObjects } from '../../src/lab/many.ts';
import { parseCIDR } from '../../src/model/address.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import { Tracker } from '../../src/model/tracker.ts';

const [folder = '/tmp', startServices = '5000', changeServices = '2000'] = process.argv.slice(2);
const settings = {
  scheduler: 'rr',
  strictARP: false,
  excluded: [],
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
  ignoresReuse: false,
  marks: { mask: 0x1f7f, masqueradeMark: 0x4000 },
};
const opened: { readonly sent: { readonly sends: number; readonly messages: number } }[] = [];

/** Wraps an opener so that what its sockets send is counted. */
const counted =
  <E extends (typeof opened)[number]>(open: () => E): (() => E) =>
  () => {
    const end = open();
    opened.push(end);
    return end;
  };

const { handles, ...others } = await openKernel(await findTools('auto'), settings);
const open = {
  ipvs: counted(handles.open.ipvs),
  sets: counted(handles.open.sets),
  links: counted(handles.open.links),
};
const kernel = { ...others, handles: { ...handles, open } };
const { signal } = new AbortController();

interface Cost {
  readonly seconds: number;
  readonly cpu: number;
  readonly sends: number;
  readonly messages: number;
  /** Number of started processes and threads, the kernel's module loading included: nothing else runs here. */
  readonly started: number;
}

const startedSoFar = (): number => Number(/^processes (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]);

const sentSoFar = (): { readonly sends: number; readonly messages: number } => {
  const { ipvs, sets, links } = handles;
  const sum = (of: 'sends' | 'messages'): number =>
    [ipvs, sets, links, ...opened].reduce((total, { sent }) => total + sent[of], 0);
  return { sends: sum('sends'), messages: sum('messages') };
};

const TICKS_PER_SECOND = 100;

/** CPU seconds of this process and its exited children (proc(5)). */
const cpuSoFar = (): number => {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) / TICKS_PER_SECOND;
};

const costOf = async (run: () => unknown): Promise<Cost> => {
  const [sent, started, cpu, at] = [sentSoFar(), startedSoFar(), cpuSoFar(), performance.now()];
  await run();
  const seconds = (performance.now() - at) / 1_000;
  const now = sentSoFar();
  return {
    seconds,
    cpu: cpuSoFar() - cpu,
    sends: now.sends - sent.sends,
    messages: now.messages - sent.messages,
    started: startedSoFar() - started,
  };
};

const show = (what: string, { seconds, cpu, sends, messages, started }: Cost): void => {
  const figures = `sends ${sends}  messages ${messages}  processes ${started}  seconds ${seconds.toFixed(1)}  cpu s ${cpu.toFixed(2)}`;
  console.log(`${what.padEnd(56)} ${figures}`);
};

const newTracker = (): Tracker =>
  new Tracker({
    families: ['IPv4'],
    node: {
      nodeName: 'node1',
      bindAddress: undefined,
      detectLocalMode: 'ClusterCIDR',
      clusterCIDRs: [parseCIDR('10.200.0.0/16')].flatMap((cidr) => cidr ?? []),
      bridgeInterface: '',
      interfaceNamePrefix: '',
      nodePortAddresses: [],
      localhostNodePorts: false,
      seesLocalAddresses: true,
      seesServiceCIDRs: false,
      masqueradeBit: 14,
      masqueradeAll: false,
      dropInvalid: true,
    },
    interfaceAddresses: () => ['10.250.0.1'],
  });

const trackerWith = (services: number, endpoints: number): Tracker => {
  const tracker = newTracker();
  const objects = manyServices(0, services, endpoints) as readonly { readonly kind: string }[];
  for (const kind of OBJECT_KINDS)
    tracker.replace(
      kind,
      objects.filter((object) => object.kind === kind),
    );
  return tracker;
};

const backend = ipvsBackend({ family: 'IPv4', settings, kernel });

const leave = async (): Promise<void> => {
  const { removeAll } = await import('../../src/dataplane/cleanup.ts');
  await removeAll(backend, signal);
};

/** Measures a start, and the tools for manual use with the same content in a namespace of their own. */
const start = async (services: number, endpoints: number): Promise<void> => {
  const tracker = trackerWith(services, endpoints);
  const work = tracker.take('IPv4');
  const reconciler = new Reconciler(ipvsBackend({ family: 'IPv4', settings, kernel }), { signal });
  show(`start ${services}×${endpoints}`, await costOf(() => reconciler.sync(work)));
  const again = new Reconciler(ipvsBackend({ family: 'IPv4', settings, kernel }), { signal });
  show(
    `restart ${services}×${endpoints}`,
    await costOf(() => again.sync(trackerWith(services, endpoints).take('IPv4'))),
  );
  await leave();
  const { sections } = compileAll(backend, work);
  for (const { tool, text } of backend.print(sections)) {
    const command = { ipvsadm: 'ipvsadm -R', ipset: 'ipset restore', ip: 'ip -batch -' }[tool];
    if (command === undefined) continue;
    const file = join(folder, `${tool}.txt`);
    writeFileSync(file, text);
    const cost = await costOf(() => by(`unshare --net sh -c 'ip link set lo up; ${command} <${file}'`));
    show(`${command}, the same ${text.split('\n').length - 1} lines`, cost);
  }
};

const by = (command: string): void => {
  const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${command}: ${stderr.slice(0, 500)}`);
};

const CHANGES = 500;

const change = async (services: number, endpoints: number): Promise<void> => {
  const tracker = trackerWith(services, endpoints);
  const reconciler = new Reconciler(ipvsBackend({ family: 'IPv4', settings, kernel }), { signal });
  await reconciler.sync(tracker.take('IPv4'));
  const slice = (i: number): void => {
    const [, changed] = serviceObjects((i * 7) % services, endpoints, `10.201.${(i >> 8) & 255}.${i & 255}`);
    tracker.put('EndpointSlice' as ObjectKind, changed);
  };
  const counts: number[] = [];
  const cost = await costOf(async () => {
    for (let i = 0; i < CHANGES; i += 1) {
      const before = sentSoFar().messages;
      slice(i);
      await reconciler.sync(tracker.take('IPv4'));
      counts.push(sentSoFar().messages - before);
    }
  });
  show(`${CHANGES} changes of one endpoint each, ${services}×${endpoints}`, cost);
  console.log(`${'  messages for one change'.padEnd(56)} from ${Math.min(...counts)} to ${Math.max(...counts)}`);
  const resync = await costOf(() => resyncAsKubeProxy());
  show('one full re-sync of the same, as kube-proxy makes them', resync);
  const perSecond = (cost.cpu / CHANGES) * 50;
  const share = (100 * perSecond) / resync.cpu;
  console.log(`${'  50 changes, in CPU of one such re-sync'.padEnd(56)} ${share.toFixed(1)} %`);
  await leave();
};

/**
 * Resync as in kube-proxy, without its own computing: each set listed by a process, the rules rewritten, the addresses
 * listed, each virtual server requested with its real servers.
 */
const resyncAsKubeProxy = async (): Promise<void> => {
  const sets = spawnSync('ipset', ['list', '-n'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((name) => name !== '');
  for (const name of sets) by(`ipset list ${name} >/dev/null`);
  by('iptables-save >/tmp/rules && iptables-restore --noflush </tmp/rules && ip -o address >/dev/null');
  for (const { key } of kernel.handles.ipvs.services()) kernel.handles.ipvs.destinations(key);
};

await start(Number(startServices), 5);
await change(Number(changeServices), 3);
process.exit(0);
