/** Session affinity: who comes back goes where he went before, as long as that is one of the Service's endpoints. */
import { describe, expect, it } from 'vitest';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import type { ServicePort } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { concat } from '../../../src/nftables-json/construct.ts';
import { MESSAGE, messageType } from '../../../src/nftables-json/messages.ts';
import { input } from '../../dataplane/fake-backend.ts';
import { NODE_IP, nodeOf, tcp, withLocal } from '../ipvs/world.ts';
import { MemoryNft } from './memory-nft.ts';
import { add, here } from './vandal.ts';
import { Walker } from './walker.ts';
import type { Packet } from './walker-values.ts';
import { commandsFor, comparable, elementsIn, freshListing, type Life, listingOf, start } from './world.ts';

const VIP = '203.0.113.7';
const A = '10.200.0.1';
const B = '10.200.1.2';
const OUTSIDE = '192.0.2.9';
const POD = '10.200.0.77';

const web = (endpoints: readonly string[], port: Partial<ServicePort> = {}) =>
  withLocal(
    tcp('web', '10.96.0.1', endpoints, { affinitySeconds: 60, nodePort: 30_001, loadBalancerVIPs: [VIP], ...port }),
    [A],
  );

const packet = (source: string, destination: string, port = 80): Packet => ({
  source,
  destination,
  protocol: 'tcp',
  port,
  inInterface: source === POD ? 'cni0' : 'eth0',
});

const walk = (kernel: MemoryNft, sent: Packet) => new Walker(commandsFor(kernel), [NODE_IP.IPv4]).walk(sent);

/** As a connection would be. */
const remember = (kernel: MemoryNft, client: string, address: string, port: number, endpoint: string): void =>
  kernel.run([
    add('affinity', [{ elem: { val: concat(client, address, 'tcp', port), timeout: 60 } }, concat(endpoint, 8080)]),
  ]);

const remembered = async (kernel: MemoryNft): Promise<readonly string[]> =>
  (await elementsIn(kernel, ['affinity'])).map((line) =>
    line.replace(/^element affinity \{ (.*) timeout 60s : (\S+) .*$/, '$1 → $2'),
  );

describe('a client', () => {
  it('is remembered with the endpoint that it went to, by each address by itself', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([web([A, B])]);
    for (const [to, port] of [
      ['10.96.0.1', 80],
      [VIP, 80],
      [NODE_IP.IPv4, 30_001],
    ] as const) {
      expect(walk(kernel, packet(OUTSIDE, to, port))).toMatchObject({
        outcomes: [`${A}:8080 +m`, `${B}:8080 +m`],
        remembered: [A, B].map((ip) => `affinity: ${OUTSIDE} . ${to} . tcp . ${port} → ${ip} . 8080`),
      });
    }
  });

  it('that is remembered goes there again, and its time begins anew', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([web([A, B])]);
    remember(kernel, OUTSIDE, VIP, 80, B);
    expect(walk(kernel, packet(OUTSIDE, VIP))).toMatchObject({
      outcomes: [`${B}:8080 +m`],
      remembered: [`affinity: ${OUTSIDE} . ${VIP} . tcp . 80 → ${B} . 8080`],
    });
    expect(walk(kernel, packet(OUTSIDE, '10.96.0.1')).outcomes).toHaveLength(2);
    expect(walk(kernel, packet('192.0.2.10', VIP)).outcomes).toHaveLength(2);
  });

  it('is remembered also where the node itself is the endpoint', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([web([NODE_IP.IPv4])]);
    expect(walk(kernel, packet(POD, '10.96.0.1'))).toMatchObject({
      outcomes: [`${NODE_IP.IPv4}:8080`],
      remembered: [`affinity: ${POD} . 10.96.0.1 . tcp . 80 → ${NODE_IP.IPv4} . 8080`],
    });
  });

  it('of a Service without affinity is not remembered', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([
      web([A, B], { affinitySeconds: 0 }),
      tcp('s', '10.96.0.9', [A, B], { affinitySeconds: 60 }),
    ]);
    expect(walk(kernel, packet(OUTSIDE, VIP)).remembered).toEqual([]);
  });
});

describe('an endpoint that leaves', () => {
  const everywhere = (kernel: MemoryNft): void => {
    for (const [i, ip] of [A, B].entries()) {
      remember(kernel, `192.0.2.${i}`, '10.96.0.1', 80, ip);
      remember(kernel, `192.0.2.${i}`, VIP, 80, ip);
      remember(kernel, `192.0.2.${i}`, NODE_IP.IPv4, 30_001, ip);
    }
    // another Service has the same endpoint
    remember(kernel, '192.0.2.1', '10.96.0.5', 80, B);
  };
  const OTHER = tcp('other', '10.96.0.5', [A, B], { affinitySeconds: 60 });
  const kept = (ip: string, i: number): readonly string[] => [
    `192.0.2.${i} . 10.250.0.1 . tcp . 30001 → ${ip}`,
    `192.0.2.${i} . 10.96.0.1 . tcp . 80 → ${ip}`,
    `192.0.2.${i} . ${VIP} . tcp . 80 → ${ip}`,
  ];
  const others = `192.0.2.1 . 10.96.0.5 . tcp . 80 → ${B}`;

  it('is forgotten at all addresses of the Service, and nobody else is', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B]), OTHER]);
    everywhere(kernel);
    await life.sync([web([A])]);
    expect(await remembered(kernel)).toEqual([...kept(A, 0), others].sort());
  });

  it('is forgotten although the program that leaves it has started in between', async () => {
    const kernel = new MemoryNft();
    await start(kernel).sync([web([A, B]), OTHER]);
    everywhere(kernel);
    await start(kernel).sync([web([A]), OTHER]);
    expect(await remembered(kernel)).toEqual([...kept(A, 0), others].sort());
  });

  it('is forgotten with its Service, and when affinity ends', async () => {
    for (const last of [[], [web([A, B], { affinitySeconds: 0 })]]) {
      const kernel = new MemoryNft();
      const life = start(kernel);
      await life.sync([web([A, B]), OTHER]);
      everywhere(kernel);
      await life.sync(last, last.length === 0 ? ['ns/web:p/TCP'] : []);
      expect(await remembered(kernel)).toEqual([others]);
    }
  });

  it('is forgotten also where some entry is gone by itself in the meantime', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B]), OTHER]);
    everywhere(kernel);
    let isGone = false;
    kernel.refuses = ({ body }) => {
      // the first that is to go: its time was over
      const isOne = body.includes(Buffer.from([203, 0, 113, 7])) && body.includes(Buffer.from('affinity\0'));
      if (!isOne || isGone) return 0;
      isGone = true;
      return ERRNO.ENOENT;
    };
    await life.sync([web([A])]);
    expect(isGone).toBe(true);
    expect(await remembered(kernel)).toEqual([...kept(A, 0), others].sort());
  });

  it.each([
    ['was done', true],
    ['was not done', false],
  ])('is forgotten although the answer was lost to the write that took it away, which %s', async (_, isDone) => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B]), OTHER]);
    everywhere(kernel);
    kernel.fault = () => ({ as: 'answer', errno: ERRNO.ENOBUFS, isDone });
    await expect(life.sync([web([A])])).rejects.toMatchObject({ scope: 'environment' });
    kernel.fault = () => undefined;
    await life.sync([]);
    expect(await remembered(kernel)).toEqual([...kept(A, 0), others].sort());
  });

  it('is forgotten although the first try to do so fails', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B]), OTHER]);
    everywhere(kernel);
    let writes = 0;
    kernel.fault = () => {
      writes += 1;
      return writes === 2 ? { as: 'whole', errno: ERRNO.ENOMEM } : undefined;
    };
    await life.sync([web([A])]);
    expect(writes).toBeGreaterThan(2);
    expect(await remembered(kernel)).toEqual([...kept(A, 0), others].sort());
  });

  it('is forgotten with the table, whoever takes it away, and whatever becomes of the answer', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B]), OTHER]);
    everywhere(kernel);
    kernel.fault = () => ({ as: 'answer', errno: ERRNO.ENOBUFS, isDone: true });
    await expect(life.sync([web([A])])).rejects.toMatchObject({ scope: 'environment' });
    kernel.fault = () => undefined;
    kernel.run([{ delete: { table: { family: 'ip', name: here.table } } }]);
    await life.sync([]);
    expect(await remembered(kernel)).toEqual([]);
    expect(comparable(await listingOf(kernel))).toEqual(await freshListing([web([A]), OTHER]));
    everywhere(kernel);
    expect((await removeAll(life.backend, new AbortController().signal)).left).toEqual([]);
    expect(await listingOf(kernel)).toEqual([]);
  });

  it('who stays, and moves to another slot, keeps its clients', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    const C = '10.200.1.3';
    await life.sync([web([A, B, C])]);
    remember(kernel, OUTSIDE, VIP, 80, C);
    await life.sync([web([B, C])]);
    expect(await remembered(kernel)).toEqual([`${OUTSIDE} . ${VIP} . tcp . 80 → ${C}`]);
  });
});

describe('until an endpoint that left is forgotten', () => {
  const OTHER = tcp('other', '10.96.0.5', [A, B]);
  const DEPARTED = ['departed-endpoints', 'departed-nodeport-endpoints'];

  /** Nobody is forgotten as long as it holds. */
  const hold = (kernel: MemoryNft): void => {
    kernel.refuses = ({ type, body }) =>
      type === messageType(MESSAGE.DELETE_ELEMENT) && body.includes(Buffer.from('affinity\0')) ? ERRNO.ENOMEM : 0;
  };
  /** The engine's sync, which does not wait. */
  const sync = (life: Life, services: readonly ServiceEndpoints[], gone: readonly string[] = []) =>
    life.reconciler.sync(input(services, gone, nodeOf('IPv4')));

  const places = [
    ['10.96.0.1', 80],
    [VIP, 80],
    [NODE_IP.IPv4, 30_001],
  ] as const;

  it('its clients are not led to it: their first packet is dropped, and what was remembered with it', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B])]);
    for (const [to, port] of places) remember(kernel, OUTSIDE, to, port, B);
    hold(kernel);
    await sync(life, [web([A])]);
    for (const [to, port] of places) {
      expect(walk(kernel, packet(OUTSIDE, to, port))).toMatchObject({
        outcomes: ['drop'],
        remembered: [`-affinity: ${OUTSIDE} . ${to} . tcp . ${port} → ${B} . 8080`],
      });
      // who is not remembered there is served
      expect(walk(kernel, packet('192.0.2.10', to, port)).outcomes).toEqual([`${A}:8080 +m`]);
    }
    kernel.refuses = () => 0;
    await life.backend.settled();
    expect(await elementsIn(kernel, ['affinity', ...DEPARTED])).toEqual([]);
    expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual([`${A}:8080 +m`]);
  });

  it('the same goes for a program that starts meanwhile, for a Service that comes again, and for one that was lost', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B])]);
    remember(kernel, OUTSIDE, VIP, 80, B);
    hold(kernel);
    await sync(life, [web([A])]);
    const next = start(kernel);
    await sync(next, [web([A])]);
    expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual(['drop']);
    await sync(next, [], ['ns/web:p/TCP']);
    await sync(next, [web([A])]);
    expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual(['drop']);
    kernel.refuses = () => 0;
    await next.backend.settled();
    expect(await elementsIn(kernel, ['affinity', ...DEPARTED])).toEqual([]);
  });

  it('it may come back, and its clients with it, as often as it likes', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B])]);
    remember(kernel, OUTSIDE, VIP, 80, B);
    hold(kernel);
    for (let i = 0; i < 3; i += 1) {
      await sync(life, [web([A])]);
      expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual(['drop']);
      await sync(life, [web([A, B])]);
      expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual([`${B}:8080 +m`]);
    }
    kernel.refuses = () => 0;
    await life.backend.settled();
    expect(await remembered(kernel)).toEqual([`${OUTSIDE} . ${VIP} . tcp . 80 → ${B}`]);
    expect(await elementsIn(kernel, DEPARTED)).toEqual([]);
  });

  it('it may come back while its clients are looked for', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B])]);
    remember(kernel, OUTSIDE, VIP, 80, B);
    let back: Promise<unknown> | undefined;
    kernel.onList = ({ body }) => {
      if (body.includes(Buffer.from('affinity\0'))) back ??= sync(life, [web([A, B])]);
    };
    await sync(life, [web([A])]);
    await life.backend.settled();
    await back;
    await life.backend.settled();
    expect(await remembered(kernel)).toEqual([`${OUTSIDE} . ${VIP} . tcp . 80 → ${B}`]);
    expect(await elementsIn(kernel, DEPARTED)).toEqual([]);
  });

  it('nobody else waits, however many are remembered, and all that left meanwhile are looked for at once', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    const names = Array.from({ length: 5 }, (_, n) => `10.200.2.${n}`);
    await life.sync([web([A, ...names]), OTHER]);
    const clients = Array.from({ length: 1_500 }, (_, n) => concat(`198.18.${n >> 8}.${n & 255}`, VIP, 'tcp', 80));
    kernel.run([
      add(
        'affinity',
        ...clients.map((val, n) => [{ elem: { val, timeout: 60 } }, concat(names[n % 5] ?? A, 8080)] as const),
      ),
    ]);
    let walks = 0;
    kernel.onList = ({ body }) => {
      if (body.includes(Buffer.from('affinity\0'))) walks += 1;
    };
    for (let n = 0; n < 5; n += 1) {
      await sync(life, [web([A, ...names.slice(n + 1)])]);
      await sync(life, [tcp('other', '10.96.0.5', [A, `10.200.3.${n}`])]);
    }
    // there is one walk at a time
    expect(walks).toBeLessThan(2);
    expect((await elementsIn(kernel, ['departed-endpoints'])).length).toBeGreaterThan(0);
    await life.backend.settled();
    expect(walks).toBeLessThan(8);
    expect(await elementsIn(kernel, ['affinity', ...DEPARTED])).toEqual([]);
    const deletions = kernel.transactions.map(({ messages }) =>
      messages.filter(({ does }) => does === MESSAGE.DELETE_ELEMENT),
    );
    expect(Math.max(...deletions.map(({ length }) => length))).toBeLessThanOrEqual(1_000);
  }, 30_000);
});

it('all time-outs share two hooks', async () => {
  const hooksOf = async (services: number): Promise<number> => {
    const kernel = new MemoryNft();
    await start(kernel).sync(
      Array.from({ length: services }, (_, n) =>
        tcp(`s${n}`, `10.97.${n >> 8}.${n & 255}`, [A], { affinitySeconds: n + 1 }),
      ),
    );
    return (await listingOf(kernel)).filter((line) => line.startsWith('chain ') && line.includes(' hook ')).length;
  };
  const none = await hooksOf(0);
  expect(none).toBeGreaterThan(5);
  expect([await hooksOf(1), await hooksOf(200)]).toEqual([none + 2, none + 2]);
}, 30_000);

describe('external policy Local', () => {
  it('is kept to also for a client that was elsewhere before', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B])]);
    remember(kernel, OUTSIDE, VIP, 80, B);
    remember(kernel, POD, '10.96.0.1', 80, B);
    await life.sync([web([A, B], { externalPolicyLocal: true })]);
    expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual([`${A}:8080`]);
    // nothing has changed at the ClusterIP
    expect(walk(kernel, packet(POD, '10.96.0.1')).outcomes).toEqual([`${B}:8080`]);
  });

  it('leads pods to all endpoints, and remembers them there', async () => {
    const kernel = new MemoryNft();
    const life = start(kernel);
    await life.sync([web([A, B], { externalPolicyLocal: true })]);
    expect(walk(kernel, packet(POD, VIP)).outcomes).toEqual([`${A}:8080`, `${B}:8080`]);
    remember(kernel, POD, VIP, 80, B);
    remember(kernel, OUTSIDE, VIP, 80, A);
    await life.sync([web([A, B, '10.200.1.3'], { externalPolicyLocal: true })]);
    expect(walk(kernel, packet(POD, VIP)).outcomes).toEqual([`${B}:8080`]);
    expect(walk(kernel, packet(OUTSIDE, VIP)).outcomes).toEqual([`${A}:8080`]);
  });
});
