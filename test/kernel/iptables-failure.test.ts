/**
 * What failures of the real iptables tools are taken for, each made on purpose in a network namespace, in both variants. The
 * words of the tools are theirs alone: test/host holds them as they were recorded.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { restore } from '../../src/kernel/iptables.ts';
import type { FailureScope, IptablesFailure, Reason } from '../../src/kernel/iptables-failure.ts';
import { makeScripts, type Scripts } from '../host/scripts.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith, program } from './requires.ts';

const GOOD = '*nat\n:KUBE-A - [0:0]\n-A KUBE-A -s 192.0.2.1/32 -j RETURN\nCOMMIT\n';
const rule = (text: string): string => `*nat\n:KUBE-A - [0:0]\n-A KUBE-A ${text}\nCOMMIT\n`;
const RULE_LINE = 3;

/** Enough for all but a library: the legacy tool has a lock open. */
const DESCRIPTORS = { legacy: 5, nft: 4 } as const;

interface Expected {
  readonly reason: Reason;
  readonly scope: FailureScope;
  readonly line?: number;
}

interface Case {
  readonly title: string;
  /** Shell, before the tool takes the place of the shell; FOLDER is one of the case's own. */
  readonly first?: string;
  /** Shell words around the tool. */
  readonly around?: string;
  readonly input?: string;
  readonly timeoutMs?: number;
  /** Undefined: it is written all the same. */
  readonly legacy: Expected | undefined;
  readonly nft: Expected | undefined;
}

const content = (reason: Reason, line?: number): Expected => ({
  reason,
  scope: 'content',
  ...(line === undefined ? {} : { line }),
});
const environment = (reason: Reason): Expected => ({ reason, scope: 'environment' });

/** The tool waits for input that never comes. */
const WAITS = 'mkfifo FOLDER/pipe; exec 3<>FOLDER/pipe <FOLDER/pipe';

const CASES: readonly Case[] = [
  { title: 'good rules', legacy: undefined, nft: undefined },
  {
    title: 'the lock held by somebody else for longer than we wait',
    first: 'export XTABLES_LOCKFILE=FOLDER/lock; flock FOLDER/lock sleep 8 & sleep 0.3',
    legacy: environment('locked'),
    nft: undefined,
  },
  {
    title: 'a read-only /run',
    first: 'mount -t tmpfs -o ro tmpfs /run',
    legacy: environment('no lock file'),
    nft: undefined,
  },
  {
    title: 'a tool that is killed',
    first: `${WAITS}; (sleep 0.5; kill -KILL $$) &`,
    legacy: environment('killed'),
    nft: environment('killed'),
  },
  {
    title: 'a tool that ends by SIGTERM',
    first: `${WAITS}; (sleep 0.5; kill -TERM $$) &`,
    legacy: environment('killed'),
    nft: environment('killed'),
  },
  {
    title: 'a wrapper whose tool is killed',
    first: `${WAITS}; (sleep 0.5; pkill -KILL -P $$ -f restore) &`,
    around: 'TOOL; exit $?',
    legacy: environment('killed in a shell'),
    nft: environment('killed in a shell'),
  },
  {
    title: 'a tool that does not end',
    first: WAITS,
    timeoutMs: 500,
    legacy: environment('timed out'),
    nft: environment('timed out'),
  },
  {
    title: 'a chain that is not there',
    input: rule('-j KUBE-NOSUCH'),
    legacy: content('input', RULE_LINE),
    nft: content('input', RULE_LINE + 1),
  },
  {
    title: 'a match that is not installed',
    input: rule('-m nosuch -j RETURN'),
    legacy: content('input', RULE_LINE),
    nft: content('input', RULE_LINE),
  },
  {
    title: 'an option that nobody knows',
    input: rule('--nosuch 1'),
    legacy: content('input', RULE_LINE),
    nft: content('input', RULE_LINE),
  },
  {
    title: 'an address that is none',
    input: rule('-s 300.1.1.1/32 -j RETURN'),
    legacy: content('input', RULE_LINE),
    nft: content('input', RULE_LINE),
  },
  {
    title: 'a rule that the kernel refuses',
    // masquerading is for the end of the way
    input: '*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MASQUERADE\nCOMMIT\n',
    legacy: content('input', 4),
    nft: content('refused', RULE_LINE),
  },
  {
    title: 'chains that lead in a circle',
    input:
      '*nat\n:KUBE-A - [0:0]\n:KUBE-B - [0:0]\n-A KUBE-A -j KUBE-B\n-A KUBE-B -j KUBE-A\n-A OUTPUT -j KUBE-A\nCOMMIT\n',
    legacy: content('input', 7),
    nft: content('refused', 6),
  },
  {
    title: 'a set that is not there',
    input: rule('-m set --match-set NOSUCH src -j RETURN'),
    legacy: content('input', RULE_LINE),
    nft: content('input', RULE_LINE),
  },
  {
    title: 'a table that this kernel has not',
    input: '*nosuch\n:A - [0:0]\nCOMMIT\n',
    legacy: environment('no table'),
    nft: content('input', 1),
  },
  {
    title: 'input without an end',
    input: '*nat\n:KUBE-A - [0:0]\n',
    legacy: content('input', 3),
    nft: content('input', 3),
  },
  {
    title: 'somebody who is not root',
    first: 'export XTABLES_LOCKFILE=FOLDER/lock',
    around: 'exec setpriv --reuid=65534 --regid=65534 --clear-groups TOOL',
    legacy: environment('no lock file'),
    nft: environment('no ruleset'),
  },
  {
    title: 'no descriptor left for a library',
    first: 'export XTABLES_LOCKFILE=FOLDER/lock; ulimit -n $DESCRIPTORS',
    input: rule('-m statistic --mode random --probability 0.5 -j RETURN'),
    legacy: environment('no extension just now'),
    nft: environment('no extension just now'),
  },
];

describe.each(['legacy', 'nft'] as const)('variant %s', (variant) => {
  const needs = [...NAMESPACE_NEEDS, ...['iptables-legacy', 'iptables-nft', 'flock', 'setpriv', 'mkfifo'].map(program)];
  describeWith(needs, 'a failure of the real tool', () => {
    let namespace: Namespace;
    let scripts: Scripts;
    beforeAll(async () => {
      namespace = createNamespace();
      scripts = await makeScripts();
    });
    afterAll(async () => {
      namespace?.remove();
      await scripts?.remove();
    });

    const failureOf = async (one: Case, number: number): Promise<IptablesFailure | undefined> => {
      const { first = ':', around = 'exec TOOL', input = GOOD, timeoutMs } = one;
      const folder = scripts.path(`case-${number}`);
      const script = [`mkdir -p FOLDER; DESCRIPTORS=${DESCRIPTORS[variant]}`, first, around]
        .join('\n')
        .replaceAll('FOLDER', folder);
      const name = `tool-${number}`;
      await scripts.add(`${name}.sh`, script.replaceAll('TOOL', `iptables-${variant}-restore "$@"`));
      await scripts.add(
        `${name}-restore`,
        `exec ip netns exec ${namespace.name} sh ${scripts.path(`${name}.sh`)} "$@"`,
      );
      return restore(scripts.path(name), input, timeoutMs);
    };

    it.for(CASES.map((one, number) => ({ ...one, number })))('$title', async (one) => {
      const found = await failureOf(one, one.number);
      if (found === undefined || one[variant] === undefined) return expect(found).toEqual(one[variant]);
      const { message, ...rest } = found;
      expect(rest, message).toEqual(one[variant]);
    });
  });
});
