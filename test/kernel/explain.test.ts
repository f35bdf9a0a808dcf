/** A running proxy asked what it has programmed for a Service, and `explain` of the same, over real sockets from here and from outside. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { objectsOf, type ServiceSpec } from '../conformance/world.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '--hostname-override=node1'];
const SPEC: ServiceSpec = { endpoints: [{ on: 'pod1' }, { on: 'remote1' }], nodePort: true, vip: true };
const VARIANT = { family: 'IPv4', protocol: 'TCP', number: 1 } as const;
const SERVICE = 'conformance/web';

/** Asks and prints `status body`. */
const ASK = `
const [url, host] = process.argv.slice(1);
require('http').get(url, host === undefined ? {} : { headers: { host } }, (response) => {
  let body = '';
  response.on('data', (chunk) => { body += chunk; });
  response.on('end', () => console.log(response.statusCode + ' ' + body));
});`;

interface Told {
  readonly id: string;
  readonly text?: string;
  readonly wanted?: string;
  readonly isApplied?: boolean;
}

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'what is programmed', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
    const [service] = objectsOf('headless', SPEC, VARIANT);
    const [labelled] = objectsOf('theirs', SPEC, VARIANT);
    const more = [
      { ...service, kind: 'Service', spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
      {
        ...labelled,
        kind: 'Service',
        metadata: { ...labelled?.metadata, labels: { 'service.kubernetes.io/service-proxy-name': 'other' } },
      },
    ] as Parameters<typeof bench.cluster.put>[0];
    await bench.cluster.put([...objectsOf('web', SPEC, VARIANT), ...more]);
  });
  afterAll(() => bench?.remove());
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    proxy = undefined;
  });

  const ask = async (from: 'node1' | 'outside', url: string, ...host: readonly string[]): Promise<string> =>
    (await bench.lab.run(from, process.execPath, ['-e', ASK, url, ...host])).stdout;

  const explain = (service: string, ...args: readonly string[]) => {
    const api = `--kubeconfig=${bench.cluster.kubeconfig}`;
    const words = [MAIN, 'explain', service, ...FLAGS, '--node=node1', api, ...args];
    return bench.lab.run('node1', process.execPath, words, { reject: false });
  };

  it.each([
    ['iptables, nft', ['--proxy-mode=iptables', '--iptables-tool=nft']],
    ['iptables, legacy', ['--proxy-mode=iptables', '--iptables-tool=legacy']],
    ['nftables', ['--proxy-mode=nftables']],
  ])('is told by the proxy just as explained beforehand: %s', async (_, mode) => {
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '-v=2', '--metrics-bind-address=0.0.0.0:10249', ...mode]);
    await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/);
    const explained = await explain(SERVICE, '-o', 'json', ...mode);
    expect(explained).toMatchObject({ exitCode: 0, stderr: '' });
    const { families } = JSON.parse(explained.stdout) as {
      readonly families: readonly { readonly ports: readonly { readonly rules: readonly Told[] }[] }[];
    };
    const rules = families.flatMap(({ ports }) => ports.flatMap((port) => port.rules));
    const [, status, body = ''] = /^(\d+) (.*)/s.exec(await ask('node1', rulesAt('127.0.0.1'))) ?? [];
    expect(status).toBe('200');
    const page = JSON.parse(body) as {
      readonly families: { readonly IPv4: readonly { readonly state: string; readonly objects: readonly Told[] }[] };
    };
    const [owner] = page.families.IPv4;
    expect(owner?.state).toBe('Done');
    expect(owner?.objects.length).toBeGreaterThan(5);
    expect(owner?.objects.filter(({ isApplied }) => isApplied !== true)).toEqual([]);
    expect(owner?.objects.map(({ id, wanted }) => `${id}\n${wanted}`)).toEqual(
      rules.map(({ id, text }) => `${id}\n${text}`),
    );
    await proxy.stop();
    await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup', ...mode]);
  });

  const rulesAt = (host: string): string => `http://${host}:10249/rules?service=${SERVICE}`;

  it('is told to nobody who is not on the node, or says that he is elsewhere', async () => {
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '-v=2', '--metrics-bind-address=0.0.0.0:10249']);
    await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/);
    expect(await ask('node1', `${rulesAt('localhost')}&format=text`)).toMatch(
      /^200 IPv4 conformance\/web:p\/TCP: Done/,
    );
    for (const [from, host, name] of [
      ['outside', '10.250.0.1', undefined],
      ['outside', '10.250.0.1', 'localhost:10249'],
      ['node1', '10.250.0.1', undefined],
      ['node1', '127.0.0.1', 'rebound.example:10249'],
    ] as const) {
      const answer = await ask(from, rulesAt(host), ...(name === undefined ? [] : [name]));
      expect(answer, `${from} to ${host} as ${name}`).toMatch(/^401 .*kubectl port-forward/);
    }
    expect(await ask('outside', 'http://10.250.0.1:10249/healthz')).toBe('200 ok');
    await proxy.stop();
    await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup']);
  });

  it.each([
    ['conformance/headless', 'it is headless'],
    ['conformance/theirs', 'leaves it to another proxy: other'],
    ['conformance/wbe', 'there is no such Service; the nearest name is conformance/web'],
  ])('is nothing for %s, and explained', async (service, why) => {
    const { exitCode, stdout } = await explain(service);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('Nothing is programmed for it: ');
    expect(stdout).toContain(why);
  });
});
