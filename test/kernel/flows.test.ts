/** StaleFlowCleaner on a real kernel; flows are created and listed by conntrack(8), as an independent witness. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openConntrack, StaleFlowCleaner } from '../../src/conntrack/stale-flow-cleaner.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import type { NetlinkConnection } from '../../src/netlink/connection.ts';
import { service } from '../dataplane/fake-backend.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith, program } from './requires.ts';

const udp = (name: string, ip: string, serving: readonly string[], nodePort = 0): ServiceEndpoints => {
  const plain = service(name, ip, serving);
  return { ...plain, port: { ...plain.port, nodePort, name: { ...plain.port.name, protocol: 'UDP' } } };
};
const { port: PORT } = udp('a', '10.96.0.1', []).port;
const TARGET_PORT = udp('a', '10.96.0.1', ['10.0.0.1']).serving[0]?.port ?? 0;
const NODE = '10.250.0.1';

describeWith([...NAMESPACE_NEEDS, program('conntrack')], 'tracked flows', () => {
  let namespace: Namespace;
  let cleaner: StaleFlowCleaner;
  const lines: string[] = [];
  beforeEach(() => {
    namespace = createNamespace();
    lines.length = 0;
    const note = (fields: unknown, message?: string): void => {
      lines.push(`${message} ${JSON.stringify(fields)}`);
    };
    const log = { info: note, warn: note } as never;
    const addresses = [NODE];
    const open = (): NetlinkConnection => namespace.enter(openConntrack);
    cleaner = new StaleFlowCleaner({ family: 'IPv4', open, localAddresses: () => addresses, log });
  });
  afterEach(async () => {
    await cleaner.stop();
    namespace.remove();
  });

  const add = (
    protocol: string,
    source: string,
    to: string,
    port: number,
    target: string,
    targetPort: number,
  ): void => {
    const state = protocol === 'tcp' ? ['--state', 'ESTABLISHED'] : [];
    const reply = ['-r', target, '-q', source, '--reply-port-src', String(targetPort), '--reply-port-dst', '5000'];
    const original = ['-s', source, '-d', to, '--sport', '5000', '--dport', String(port)];
    namespace.run('conntrack', '-I', '-p', protocol, '-t', '600', ...state, ...original, ...reply);
  };

  const sources = (): readonly string[] =>
    [...namespace.run('conntrack', '-L').matchAll(/ src=(\S+) dst=\S+ sport=5000 /g)]
      .map(([, source]) => source ?? '')
      .sort();

  const cleaned = async (): Promise<void> => {
    for (let i = 0; i < 100 && lines.length === 0; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  };

  it('that lead to an endpoint that is gone are deleted, and no others', async () => {
    add('udp', '10.200.0.1', '10.96.0.1', PORT, '10.0.0.1', TARGET_PORT);
    add('udp', '10.200.0.2', '10.96.0.1', PORT, '10.0.0.2', TARGET_PORT);
    add('tcp', '10.200.0.3', '10.96.0.1', PORT, '10.0.0.2', TARGET_PORT);
    add('udp', '10.200.0.4', '10.96.0.2', PORT, '10.0.0.2', TARGET_PORT);
    add('udp', '10.200.0.5', NODE, 30_053, '10.0.0.2', TARGET_PORT);
    add('udp', '10.200.0.6', '192.0.2.1', 30_053, '192.0.2.1', 30_053);
    cleaner.synced([udp('a', '10.96.0.1', ['10.0.0.1'], 30_053), service('tcp', '10.96.0.2', ['10.0.0.1'])], []);
    await cleaned();
    expect(lines).toEqual([expect.stringMatching(/^stale UDP flows deleted .*"flows":2,"sinceStart":2/)]);
    expect(cleaner.deleted).toBe(2);
    expect(sources()).toEqual(['10.200.0.1', '10.200.0.3', '10.200.0.4', '10.200.0.6']);
  });

  it('are found in one list, where many Services changed', async () => {
    const many = Array.from({ length: 40 }, (_, i) => udp(`s${i}`, `10.96.1.${i}`, ['10.0.0.1']));
    for (let i = 0; i < 40; i += 1) add('udp', `10.200.1.${i}`, `10.96.1.${i}`, PORT, '10.0.0.9', TARGET_PORT);
    for (let i = 0; i < 40; i += 1) add('udp', `10.200.2.${i}`, `10.96.1.${i}`, PORT, '10.0.0.1', TARGET_PORT);
    cleaner.synced(many, []);
    await cleaned();
    expect(cleaner.deleted).toBe(40);
    expect(sources()).toHaveLength(40);
    expect(sources().every((source) => source.startsWith('10.200.2.'))).toBe(true);
  });
});
