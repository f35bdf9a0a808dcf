/** What a page's outputs look like: the model in short, the rules as a tool would take them. */
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { type IPFamily, joinHostPort } from '../../src/model/address.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Work } from '../../src/model/family-work.ts';
import { ownerOf } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import type { ModelText, Page } from './page.ts';

/** By owner: the endpoints of the cluster, then those for policy Local where one asks for them; `*` = on this node. */
export const modelText = (services: readonly ServiceEndpoints[]): ModelText =>
  Object.fromEntries(services.map((service) => [ownerOf(service.port.name), endpointsText(service)]));

const endpointsText = ({ port, cluster, local, hasAny }: ServiceEndpoints): string => {
  if (!hasAny) return 'nobody';
  const asksLocal = port.internalPolicyLocal || port.externalPolicyLocal;
  const parts = [
    ...(cluster.length > 0 ? [listText(cluster)] : []),
    ...(asksLocal ? [`local ${local.length === 0 ? 'nobody' : listText(local)}`] : []),
  ];
  return parts.join('; ');
};

const listText = (endpoints: readonly Endpoint[]): string =>
  endpoints.map(({ ip, port, isLocal }) => `${joinHostPort(ip, port)}${isLocal ? '*' : ''}`).join(' ');

/** What a step did to one family's kernel. */
export interface Outcome {
  readonly family: IPFamily;
  readonly step: string;
  /** `+ nat KUBE-…` added, `~` changed, `-` removed. */
  readonly written: readonly string[];
  /** What was written and is there now. */
  readonly rules: string;
}

/** The wanted rules that `isShown`, by the owner that wants them. */
export const rulesText = (work: Work, isShown: (id: string) => boolean): string => {
  const backend = iptablesBackend({ family: work.node.family });
  const { sections, problems } = compileAll(backend, work);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const shown = sections.map(({ title, objects }) => ({ title, objects: objects.filter(({ id }) => isShown(id)) }));
  const parts = backend.print(shown.filter(({ objects }) => objects.length > 0));
  return parts.map(({ text }) => text).join('');
};

/** The whole output of a page. */
export const outputText = ({ title, steps }: Page, outcomes: readonly Outcome[]): string => {
  const families = [...new Set(outcomes.map(({ family }) => family))].map((family) => {
    const own = outcomes.filter((outcome) => outcome.family === family);
    if (own.every(({ rules }) => rules === '')) return `\n## ${family}: nothing\n`;
    return own.map((outcome, i) => outcomeText(outcome, `${family}, step ${i + 1} of ${steps.length}`)).join('');
  });
  return `## ${title}\n${families.join('')}`;
};

const outcomeText = ({ step, written, rules }: Outcome, where: string): string => {
  const head = `\n## ${where}: ${step}\n`;
  const changes = written.map((line) => `##   ${line}\n`).join('');
  return `${head}${changes}${rules === '' && written.length === 0 ? '## nothing is written\n' : rules}`;
};
