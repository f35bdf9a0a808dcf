/** Connections read off the counters of rules, and the listing that they are read from. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConnectionCounts } from '../../../src/backends/iptables/connections.ts';
import { iptablesBackend } from '../../../src/backends/iptables/index.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import { input } from '../../dataplane/fake-backend.ts';
import { makeScripts, print, type Scripts } from '../../host/scripts.ts';
import { nodeOf, tcp } from '../ipvs/world.ts';

const { signal } = new AbortController();
const ONE = 'KUBE-SEP-AAAAAAAAAAAAAAAA';
const OTHER = 'KUBE-SEP-BBBBBBBBBBBBBBBB';

const countsOf = (...lines: readonly string[]) => {
  const counts = new ConnectionCounts();
  for (const line of lines) counts.push(line);
  return Object.fromEntries(counts.counts);
};

describe('connections', () => {
  it('are what an endpoint’s rule has translated', () => {
    expect(
      countsOf(
        `:${ONE} - [0:0]`,
        `[3:180] -A ${ONE} -s 10.0.0.1/32 -j KUBE-MARK-MASQ`,
        `[7:420] -A ${ONE} -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:8080`,
        `[12:720] -A ${OTHER} -p udp -m recent --set --name ${OTHER} --rsource -m udp -j DNAT --to-destination 10.0.0.2:53`,
      ),
    ).toEqual({ [`nat ${ONE}`]: { connections: 7 }, [`nat ${OTHER}`]: { connections: 12 } });
  });

  it('are not what leads there, nor what a comment says', () => {
    expect(
      countsOf(
        `[9:540] -A KUBE-SVC-AAAAAAAAAAAAAAAA -j ${ONE}`,
        '[9:540] -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-AAAAAAAAAAAAAAAA',
        '[9:540] -A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1:80',
        `[9:540] -A ${ONE} -m comment --comment "a -j DNAT b" -j KUBE-MARK-MASQ`,
        `-A ${ONE} -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:8080`,
      ),
    ).toEqual({});
  });
});

describe('the backend', () => {
  let scripts: Scripts;
  beforeAll(async () => {
    scripts = await makeScripts();
  });
  afterAll(() => scripts.remove());

  const backendWith = (name: string) =>
    iptablesBackend({ family: 'IPv4', tools: { variant: 'nft', IPv4: scripts.path(name), IPv6: '' } });

  it('asks its tool for one table with counters, and the engine knows whose they are', async () => {
    const compiled = tcp('web', '10.96.0.1', ['10.200.0.1']);
    await scripts.add('empty-save', print(''));
    await scripts.add('empty-restore', 'cat >/dev/null');
    const backend = backendWith('empty');
    const reconciler = new Reconciler(backend, { signal });
    await reconciler.sync(input([compiled], [], nodeOf('IPv4')));
    const sep = [...reconciler.want.values()].find(({ id }) => id.startsWith('nat KUBE-SEP-'))?.id ?? '';
    const rule = `[5:300] -A ${sep.slice('nat '.length)} -p tcp -m tcp -j DNAT --to-destination 10.200.0.1:8080`;
    await scripts.add('empty-save', `[ "$*" = '-c -t nat' ] || exit 1`, print(`*nat\n${rule}\nCOMMIT`));
    const traffic = await reconciler.traffic();
    expect(traffic).toEqual({ counts: new Map([[sep, { connections: 5 }]]), isWhole: true });
    expect(reconciler.ownerOf(sep)).toBe('ns/web:p/TCP');
  });

  it('says what the tool said when it fails', async () => {
    await scripts.add('fails-save', 'echo "no such thing" >&2', 'exit 3');
    const failing = backendWith('fails').traffic?.(signal);
    await expect(failing).rejects.toMatchObject({ scope: 'environment', message: expect.stringContaining('no such') });
  });
});
