/** The health-check port of a load balancer's Service, asked from outside the cluster, in the modes that run on any kernel. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { type EndpointSpec, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MODES = [
  ['iptables', ['--iptables-tool=nft']],
  ['nftables', ['--proxy-mode=nftables', '--nodeport-addresses=0.0.0.0/0,::/0']],
] as const;
const PORT = 31_999;
const SERVICE: Variant = { family: 'IPv4', protocol: 'TCP', number: 1 };
const ASK = `
const { get } = require('node:http');
const request = get(process.argv[1], { timeout: 2000, agent: false }, (response) => {
  let body = '';
  response.on('data', (chunk) => { body += chunk; });
  response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, weight: response.headers['x-load-balancing-endpoint-weight'], body })));
});
request.on('timeout', () => request.destroy(new Error('ETIMEDOUT')));
request.on('error', (error) => console.log(JSON.stringify({ status: error.code ?? error.message })));
`;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describeWith([...LAB_NEEDS, program('iptables-nft')], 'the health-check port', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench?.remove());

  const put = (endpoints: readonly EndpointSpec[], port = PORT): Promise<void> => {
    const spec = { externalTrafficPolicy: 'Local', healthCheckNodePort: port };
    return bench.cluster.put(objectsOf('checked', { vip: true, nodePort: true, spec, endpoints }, SERVICE));
  };

  const ask = async (host: string, port = PORT): Promise<Readonly<Record<string, unknown>>> => {
    const { stdout } = await bench.lab.run('outside', process.execPath, ['-e', ASK, `http://${host}:${port}/`]);
    return JSON.parse(stdout) as Readonly<Record<string, unknown>>;
  };

  /** The answer, once it has this status. */
  const answer = async (status: unknown, port = PORT) => {
    for (const deadline = Date.now() + 5_000; ; await sleep(50)) {
      const given = await ask('10.250.0.1', port);
      if (given.status === status || Date.now() > deadline) return given;
    }
  };

  describe.each(MODES)('in mode %s', (_, flags) => {
    let proxy: NodeProxy;
    beforeAll(async () => {
      proxy = bench.cluster.startProxy('node1', ['--cluster-cidr=10.200.0.0/16,fd20::/48', ...flags]);
      await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/);
    });
    afterAll(async () => {
      await bench.cluster.delete(objectsOf('checked', { endpoints: [] }, SERVICE));
      await proxy.stop();
      const main = new URL('../../dist/main.js', import.meta.url).pathname;
      await bench.lab.run('node1', process.execPath, [main, 'cleanup', ...flags]);
    });

    it('says yes with as many as are here, no without, and follows the Service', async () => {
      await put([{ on: 'pod1' }, { on: 'pod2' }, { on: 'remote1' }]);
      const { body, ...yes } = await answer(200);
      expect(yes).toEqual({ status: 200, weight: '2' });
      expect(JSON.parse(String(body))).toEqual({
        service: { namespace: 'conformance', name: 'checked' },
        localEndpoints: 2,
        serviceProxyHealthy: true,
      });
      await put([{ on: 'pod1', state: 'draining' }, { on: 'remote1' }]);
      expect(await answer(503)).toMatchObject({ status: 503, weight: '0' });
      await put([{ on: 'pod1' }], PORT + 1);
      expect(await answer(200, PORT + 1)).toMatchObject({ status: 200, weight: '1' });
      expect(await ask('10.250.0.1')).toEqual({ status: 'ECONNREFUSED' });
      await bench.cluster.delete(objectsOf('checked', { endpoints: [] }, SERVICE));
      expect(await answer('ECONNREFUSED', PORT + 1)).toEqual({ status: 'ECONNREFUSED' });
    });
  });
});
