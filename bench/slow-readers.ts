/**
 * Cost of clients that request /metrics and do not read it: memory of the proxy before, with 128 of them, and after;
 * their fate, and that of a normal client.
 */
import { packageFile } from '../src/lab/network/entry.ts';
import { cleanUp } from './start.ts';
import { memory, show, sleep, type TestBed, VARIANTS, type Variant } from './test-bed.ts';

const METRICS = 'http://127.0.0.1:10249/metrics';
const MB = 2 ** 20;
const POLL_MS = 200;
/** Observation time, in which stalled clients are disconnected. */
const OBSERVATION_MS = 20_000;
const READY_MS = 300_000;
/** Number of clients, and bytes a second that each reads. */
const READERS = [
  [0, 0],
  [128, 0],
  [128, 65_536],
] as const;

export const slowReaders = async (
  bed: TestBed,
  variant: Variant,
  services: number,
  endpoints: number,
): Promise<void> => {
  const args = ['--cluster-cidr=10.200.0.0/16', `--service-metrics=${services}`, ...VARIANTS[variant]];
  const proxy = bed.cluster.startProxy('node1', args);
  try {
    await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/, READY_MS);
    for (let i = 0; i < 3; i += 1) await scrape(bed);
    const { bytes } = await scrape(bed);
    for (const [readers, perSecond] of READERS) {
      show(`${readers} slow readers, ${perSecond} B/s, ${variant} ${services}×${endpoints}`, {
        'page MB': (bytes / MB).toFixed(1),
        ...(await underReaders(bed, proxy.pid, readers, perSecond)),
      });
    }
  } finally {
    await proxy.stop();
    await cleanUp(bed, variant);
  }
};

const scrape = async ({ lab }: TestBed) => {
  const curl = ['-s', '-m', '30', '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{time_total}', METRICS];
  const { stdout } = await lab.run('node1', 'curl', curl, { reject: false, timeoutMs: 60_000 });
  const [status = 0, bytes = 0, seconds = 0] = stdout.split(' ').map(Number);
  return { status, bytes, seconds };
};

const underReaders = async (bed: TestBed, pid: number, count: number, perSecond: number) => {
  const before = (await memory(pid)).now;
  const program = packageFile('dist/bench/inside/readers.js');
  const readers = bed.lab.spawn('node1', process.execPath, [program, METRICS, `${count}`, `${perSecond}`], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  });
  let most = 0;
  const scrapes: Awaited<ReturnType<typeof scrape>>[] = [];
  for (const until = performance.now() + OBSERVATION_MS; performance.now() < until; await sleep(POLL_MS)) {
    most = Math.max(most, (await memory(pid)).now);
    scrapes.push(await scrape(bed));
  }
  readers.stdin?.end('\n');
  const told = JSON.parse(String((await readers).stdout)) as Readonly<Record<string, number>>;
  await sleep(POLL_MS);
  return {
    'RSS MB before': before,
    most,
    after: (await memory(pid)).now,
    ...told,
    'others served': `${scrapes.filter(({ status }) => status === 200).length} of ${scrapes.length}`,
    'longest s': Math.max(...scrapes.map(({ seconds }) => seconds)).toFixed(2),
  };
};
