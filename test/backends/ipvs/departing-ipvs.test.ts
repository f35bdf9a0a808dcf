/** Mode ipvs as one leaves it: who is connected stays so, everything else goes, of others nothing. */
import { describe, expect, it } from 'vitest';
import { DepartingIpvs, type FlowTable } from '../../../src/backends/ipvs/departing-ipvs.ts';
import type { DesiredIpvsObject } from '../../../src/backends/ipvs/objects.ts';
import { plan } from '../../../src/backends/ipvs/plan.ts';
import { removeAll } from '../../../src/dataplane/cleanup.ts';
import type { IpvsConnection } from '../../../src/kernel/ipvs-connections.ts';
import type { IPFamily } from '../../../src/model/address.ts';
import type { Flow } from '../../../src/netlink/conntrack.ts';
import { type MemoryKernel, SETTINGS } from './memory-kernel.ts';
import { recordedHeld } from './recorded.ts';
import { by, everyKind, newKernel, start, tcp } from './world.ts';

const { signal } = new AbortController();
const WEB = tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2'], { nodePort: 30_080 });
const OTHER = tcp('other', '10.96.0.2', ['10.200.0.1']);
const DNS = by('UDP', tcp('dns', '10.96.0.10', ['10.200.0.3']));
const VIP = tcp('vip', '10.96.0.3', ['10.200.0.1'], {
  externalPolicyLocal: true,
  loadBalancerVIPs: ['203.0.113.7'],
});

const connection = (more: Partial<IpvsConnection> = {}): IpvsConnection => ({
  protocol: 'TCP',
  address: '10.96.0.1',
  port: 80,
  state: 'ESTABLISHED',
  expires: 899,
  ...more,
});

/** The kernel with what is in /proc and in conntrack, and those who leave. */
class Scene {
  readonly kernel: MemoryKernel = newKernel();
  connections: readonly IpvsConnection[] = [];
  readonly asked: string[] = [];
  readonly deleted: Flow[] = [];
  /** Rules and sets of others, before anything was ours. */
  readonly before = this.kernel.listing();

  leaving(family: IPFamily = 'IPv4'): DepartingIpvs {
    const { connections, flows } = this.#sources();
    const kernel = { ...this.kernel.open(), connections, flows };
    return new DepartingIpvs({ family, settings: SETTINGS, kernel, masqueradeMark: 0x4000 });
  }

  /** One real server of a virtual server has so many connections. */
  connect(service: string, server: string, connections: readonly IpvsConnection[]): void {
    this.kernel.ipvs.destination(service, server).connections = connections.length;
    this.connections = [...this.connections, ...connections];
  }

  has(line: string): boolean {
    return this.kernel.listing().some((one) => one.includes(line));
  }

  #sources(): { readonly connections: () => AsyncIterable<IpvsConnection>; readonly flows: FlowTable } {
    const scene = this;
    return {
      connections: async function* () {
        yield* scene.connections;
      },
      flows: {
        to: async (places) => {
          scene.asked.push(...places);
          // what is looked at must still be served
          return [...places].flatMap((place) =>
            scene.kernel.ipvs.has(`-u ${place.replace(' ', ':')}`) ? [{ id: 1 } as Flow] : [],
          );
        },
        delete: (flows) => void scene.deleted.push(...flows),
      },
    };
  }
}

const served = async (...services: Parameters<ReturnType<typeof start>['sync']>[0][]): Promise<Scene> => {
  const scene = new Scene();
  await start(scene.kernel).sync(services.flat());
  // mode iptables has come, and taken what they share
  const rules = [...(await scene.kernel.open().rules.IPv4.read()).values()];
  const shared = rules.filter(({ id }) => !id.endsWith('KUBE-IPVS-FILTER'));
  for (const batch of plan(shared.map((object) => ({ op: 'remove', object })))) {
    if (batch?.payload.by === 'iptables') scene.kernel.iptables.IPv4.restore(batch.payload.input.text);
  }
  return scene;
};

describe('where nobody is connected', () => {
  it('all goes at once, and nothing of others', async () => {
    const scene = await served([WEB, OTHER, DNS, VIP]);
    const leaving = scene.leaving();
    const { left } = await removeAll(leaving, signal);
    expect(left).toEqual([]);
    expect(leaving.awaited).toBe(0);
    expect(scene.kernel.listing()).toEqual(scene.before);
  });

  it('nor is the iptables tool asked for, where there is nothing', async () => {
    const scene = new Scene();
    const leaving = scene.leaving();
    scene.kernel.iptables.IPv4.save = () => {
      throw new Error('no right to look');
    };
    expect(await leaving.read()).toEqual(new Map());
  });

  it.each(['IPv4', 'IPv6'] as const)('also what kube-proxy left, %s', async (family) => {
    const scene = new Scene();
    const backend = scene.kernel.backend(family);
    const changes = recordedHeld(family)
      .filter(({ kind }) => kind !== 'chain' && kind !== 'jump')
      .map((object: DesiredIpvsObject) => ({ op: 'add' as const, object }));
    for (const batch of backend.plan(changes)) if (batch !== undefined) await backend.apply(batch, signal);
    expect(scene.kernel.listing().length).toBeGreaterThan(scene.before.length + 25);
    const { left } = await removeAll(scene.leaving(family), signal);
    expect(left).toEqual([]);
    expect(scene.kernel.listing()).toEqual(scene.before);
  });

  it('all of every kind of Service goes', async () => {
    const scene = await served(everyKind('IPv4'));
    expect((await removeAll(scene.leaving(), signal)).left).toEqual([]);
    expect(scene.kernel.listing()).toEqual(scene.before);
  });
});

describe('where somebody is connected', () => {
  it('his virtual server stays, takes nobody more, and what it needs stays with it', async () => {
    const scene = await served([WEB, OTHER]);
    scene.connect('-t 10.96.0.1:80', '10.200.0.1:8080', [connection()]);
    const leaving = scene.leaving();
    expect((await removeAll(leaving, signal)).left).toEqual([]);
    expect(leaving.awaited).toBe(1);
    expect(scene.kernel.ipvs.flags()).toEqual(['-t 10.96.0.1:80']);
    expect(scene.kernel.ipvs.destination('-t 10.96.0.1:80', '10.200.0.1:8080').settings.weight).toBe(0);
    expect(scene.kernel.ipvs.has('-t 10.96.0.1:80', '10.200.0.2:8080')).toBe(false);
    expect(scene.has('"address":"10.96.0.1"')).toBe(true);
    expect(scene.has('"address":"10.96.0.2"')).toBe(false);
    expect(scene.has('-A INPUT -j KUBE-IPVS-FILTER')).toBe(true);
  });

  it('the node’s own calls are masqueraded meanwhile, once', async () => {
    const scene = await served([WEB]);
    scene.connect('-t 10.96.0.1:80', '10.200.0.1:8080', [connection()]);
    for (const leaving of [scene.leaving(), scene.leaving()]) {
      await removeAll(leaving, signal);
      for (let i = 0; i < 2; i += 1) await leaving.shield();
    }
    const shield = scene.kernel.listing().filter((line) => line.includes('KUBE-IPVS-OUT'));
    expect(shield).toEqual([
      '-A KUBE-IPVS-OUT -m comment --comment "kubernetes: from the node itself" -m set --match-set KUBE-IPVS-IPS src -j MARK --set-xmark 0x4000/0x4000',
      '-A OUTPUT -j KUBE-IPVS-OUT',
      ':KUBE-IPVS-OUT - [0:0]',
    ]);
    scene.connections = [];
    await removeAll(scene.leaving(), signal);
    expect(scene.kernel.listing()).toEqual(scene.before);
  });

  it.each([
    ['it is closed', { state: 'CLOSE', expires: 9 }, true],
    ['both ends said goodbye', { state: 'TIME_WAIT', expires: 118 }, true],
    ['their last words may be under way', { state: 'TIME_WAIT', expires: 119 }, false],
    ['one end said goodbye', { state: 'FIN_WAIT', expires: 5 }, false],
    ['its port is used again', { state: 'SYN_SENT', expires: 119 }, false],
    ['its port was used again', { state: 'SYN_SENT', expires: 110 }, true],
    ['it goes elsewhere', { address: '10.200.0.9', port: 8_080 }, true],
  ])('it is over when %s: %o, %s', async (_, more, isOver) => {
    const scene = await served([WEB]);
    scene.connect('-t 10.96.0.1:80', '10.200.0.1:8080', [connection(more)]);
    const leaving = scene.leaving();
    await removeAll(leaving, signal);
    expect(leaving.awaited).toBe(isOver ? 0 : 1);
    expect(scene.kernel.ipvs.has('-t 10.96.0.1:80')).toBe(!isOver);
  });

  it('a later life goes on, and knows what is ours by a NodePort’s and a mark’s entries', async () => {
    const scene = await served([WEB, VIP]);
    const marked = scene.kernel.ipvs.flags().find((flag) => flag.startsWith('-f ')) ?? '';
    scene.connect('-t 10.250.0.1:30080', '10.200.0.1:8080', [connection({ address: '10.250.0.1', port: 30_080 })]);
    scene.connect(marked, '10.200.0.1:8080', [connection({ address: '203.0.113.7' })]);
    await removeAll(scene.leaving(), signal);
    expect(scene.kernel.ipvs.flags()).toEqual(['-t 10.250.0.1:30080', marked]);
    expect(scene.has('"address":"203.0.113.7"')).toBe(true);
    expect(scene.has('"address":"10.96.0.1"')).toBe(false);
    const later = scene.leaving();
    await removeAll(later, signal);
    expect(later.awaited).toBe(2);
    scene.connections = [];
    expect((await removeAll(later, signal)).left).toEqual([]);
    expect(scene.kernel.listing()).toEqual(scene.before);
  });

  it('the link stays for the other IP family', async () => {
    const scene = new Scene();
    await start(scene.kernel, 'IPv4').sync([WEB]);
    await start(scene.kernel, 'IPv6').sync([tcp('six', 'fd96::1', ['fd00:200::1'], { family: 'IPv6' })]);
    const [v4, v6] = [scene.leaving('IPv4'), scene.leaving('IPv6')];
    scene.connect('-t [fd96::1]:80', '[fd00:200::1]:8080', [
      connection({ address: 'fd96:0000:0000:0000:0000:0000:0000:0001' }),
    ]);
    await removeAll(v6, signal);
    expect((await removeAll(v4, signal)).removed.map(({ id }) => id)).not.toContain('link kube-ipvs0');
    expect(scene.has('"address":"fd96::1"')).toBe(true);
    scene.connections = [];
    expect((await removeAll(v6, signal)).removed.map(({ id }) => id)).toContain('link kube-ipvs0');
  });

  it('and mode ipvs comes back, he is served as if nothing had been', async () => {
    const scene = new Scene();
    await start(scene.kernel).sync([WEB, OTHER]);
    const before = scene.kernel.listing();
    scene.connect('-t 10.96.0.1:80', '10.200.0.1:8080', [connection()]);
    const leaving = scene.leaving();
    await removeAll(leaving, signal);
    await leaving.shield();
    await start(scene.kernel).sync([WEB, OTHER]);
    expect(scene.kernel.listing()).toEqual(before);
  });
});

describe('UDP', () => {
  it('is not waited for: its flows go with the virtual server, that were there before', async () => {
    const scene = await served([DNS, WEB]);
    scene.connect('-u 10.96.0.10:80', '10.200.0.3:8080', [connection({ protocol: 'UDP', address: '10.96.0.10' })]);
    const leaving = scene.leaving();
    expect((await removeAll(leaving, signal)).left).toEqual([]);
    expect(leaving.awaited).toBe(0);
    expect(scene.asked).toContain('10.96.0.10 80');
    expect(scene.asked.filter((place) => place.startsWith('10.96.0.1 '))).toEqual([]);
    expect(scene.deleted.length).toBeGreaterThan(0);
  });
});
