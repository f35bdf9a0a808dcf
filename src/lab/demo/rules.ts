/** Demo, rules: the rules of one Service in a node's kernel, in the order of a packet's path. */
import { type Findings, NO_REQUESTS } from './findings.ts';
import { readLines } from './kernel.ts';
import { NAMESPACE, WEB } from './objects.ts';
import { LAST_PODS, type Stage } from './stage.ts';

const NODE = 'node1';

interface CaptionedChain {
  readonly chain: RegExp;
  /** Text about the chain's rules. */
  readonly caption: string;
}

const CAPTIONED_CHAINS: readonly CaptionedChain[] = [
  {
    chain: /^KUBE-SERVICES$/,
    caption: 'KUBE-SERVICES sends a connection to the ClusterIP to the chain of the Service.',
  },
  { chain: /^KUBE-NODEPORTS$/, caption: 'KUBE-NODEPORTS sends one to the node port there too, by way of KUBE-EXT,' },
  { chain: /^KUBE-EXT-/, caption: 'which marks it: it is to leave with the address of this node.' },
  {
    chain: /^KUBE-SVC-/,
    caption: 'KUBE-SVC marks who is no pod, then picks by chance: 1 of 4, 1 of the other 3, 1 of 2, the last.',
  },
  {
    chain: /^KUBE-SEP-/,
    caption: 'KUBE-SEP makes the pod the destination, and marks only a pod that was given itself.',
  },
];

interface ServiceRule {
  readonly text: string;
  readonly chain: string;
  readonly target: string;
}

const toServiceRule = (text: string): ServiceRule => ({
  text,
  chain: /^-A (\S+)/.exec(text)?.[1] ?? '',
  target: / -[jg] (\S+)/.exec(text)?.[1] ?? '',
});

/** Rules of a Service: those in shared chains that name it, and all rules of the chains that these lead to. */
const rulesOfService = (rules: readonly ServiceRule[]): readonly ServiceRule[] => {
  const isShared = ({ chain }: ServiceRule): boolean => chain === 'KUBE-SERVICES' || chain === 'KUBE-NODEPORTS';
  const first = rules.filter((rule) => isShared(rule) && rule.text.includes(`"${NAMESPACE}/${WEB.name}:`));
  const chains = new Set(first.map(({ target }) => target));
  for (const chain of chains) {
    for (const rule of rules) {
      // iteration over a Set includes elements added meanwhile
      if (rule.chain === chain && CAPTIONED_CHAINS.some((step) => step.chain.test(rule.target)))
        chains.add(rule.target);
    }
  }
  return [...first, ...[...chains].flatMap((chain) => rules.filter((rule) => rule.chain === chain))];
};

export const showRules = async (stage: Stage): Promise<Findings> => {
  const { page, lab } = stage;
  page.section(`The rules of Service ${WEB.name} over IPv4, as they stand in the kernel of ${NODE}`);
  page.say(`${NODE}$ iptables-save -t nat`);
  const lines = await readLines(stage, NODE, 'IPv4');
  const rules = rulesOfService(
    lines.filter(({ packets }) => packets !== undefined).map(({ text }) => toServiceRule(text)),
  );
  for (const { chain, caption } of CAPTIONED_CHAINS) {
    page.note('', caption);
    page.quote(...rules.filter((rule) => chain.test(rule.chain)).map(({ text }) => text));
  }
  const destinations = rules.flatMap(({ text }) => / --to-destination (\S+)/.exec(text)?.[1] ?? []);
  const wanted = LAST_PODS.map((pod) => `${lab.host(pod).ipv4}:${WEB.targetPort}`);
  return {
    requests: NO_REQUESTS,
    claims: [
      {
        text: `its destinations are ${LAST_PODS.join(', ')}, and nothing else`,
        isKept: destinations.toSorted().join() === wanted.toSorted().join(),
      },
    ],
  };
};
