/**
 * Time from the start of the program to the last rule, and its cost, beside one load of the same rules by the tool, as
 * done by hand.
 */
import { packageFile } from '../src/lab/network/entry.ts';
import { cpuSeconds, memory, show, startProxy, type TestBed, VARIANTS, type Variant } from './test-bed.ts';

export const start = async (bed: TestBed, variant: Variant, services: number, endpoints: number): Promise<void> => {
  const title = `start ${variant} ${services}×${endpoints}`;
  const startedAt = performance.now();
  const proxy = await startProxy(bed, variant);
  const seconds = (performance.now() - startedAt) / 1_000;
  const { peak } = await memory(proxy.pid);
  show(title, { seconds: seconds.toFixed(1), 'cpu s': (await cpuSeconds(proxy.pid)).toFixed(1), 'peak MB': peak });
  await proxy.stop();

  const againAt = performance.now();
  const again = await startProxy(bed, variant);
  const restart = (performance.now() - againAt) / 1_000;
  const line = again
    .log()
    .split('\n')
    .find((text) => text.includes('"ipFamily":"IPv4","fullSync":true'));
  const count = (what: string): number => Number(new RegExp(`"${what}":(\\d+)`).exec(line ?? '')?.[1]);
  const written = ['added', 'replaced', 'removed'].reduce((sum, what) => sum + count(what), 0);
  show(`restart ${variant} ${services}×${endpoints}`, { seconds: restart.toFixed(1), 'objects written': written });
  await again.stop();
  if (variant === 'nftables') await countObjects(bed, services, endpoints);
  await cleanUp(bed, variant);
};

/** Kernel objects by number of Services and endpoints. */
const countObjects = async (bed: TestBed, services: number, endpoints: number): Promise<void> => {
  const program = packageFile('dist/bench/inside/count.js');
  const { stdout } = await bed.lab.run('node1', process.execPath, [program], { timeoutMs: 60_000 });
  show(`kernel objects ${services}×${endpoints}`, JSON.parse(stdout) as Record<string, number>);
};

/** One restore of the complete dump. */
export const oneRestore = async (
  bed: TestBed,
  variant: Variant,
  services: number,
  endpoints: number,
): Promise<void> => {
  const main = packageFile('dist/main.js');
  const file = `${bed.cluster.folder}/dump`;
  const mode = VARIANTS[variant].join(' ');
  const args = `${mode} --cluster-cidr=10.200.0.0/16 --node=node1 --kubeconfig=${bed.cluster.kubeconfig}`;
  await bed.lab.run('node1', 'sh', ['-c', `${process.execPath} ${main} dump ${args} >${file}`]);
  const load = variant === 'nftables' ? `nft -f ${file}` : `${variant}-restore --noflush <${file}`;
  const startedAt = performance.now();
  await bed.lab.run('node1', 'sh', ['-c', load], { timeoutMs: 300_000 });
  const seconds = (performance.now() - startedAt) / 1_000;
  show(`${load.split(' <')[0]?.replace(file, 'dump')} ${services}×${endpoints}`, { seconds: seconds.toFixed(1) });
  await cleanUp(bed, variant);
};

export const cleanUp = async (bed: TestBed, variant: Variant): Promise<void> => {
  const args = [packageFile('dist/main.js'), 'cleanup', ...VARIANTS[variant]];
  await bed.lab.run('node1', process.execPath, args, { timeoutMs: 300_000 });
};
