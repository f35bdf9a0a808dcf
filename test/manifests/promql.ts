/** What a PromQL expression asks for, by Prometheus' own grammar. */
import { parser } from '@prometheus-io/lezer-promql';

export interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels by which it is grouped. */
  readonly groupings: readonly string[];
}

interface Node {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly type: { readonly isError: boolean };
  getChild(name: string): Node | null;
}

/** Throws where it is not PromQL. */
export const parseQuery = (text: string): Query => {
  const selectors: { metric: string; labels: string[] }[] = [];
  const groupings: string[] = [];
  let isGrouping = false;
  parser.parse(text).iterate({
    enter: ({ node }: { readonly node: Node }) => {
      const said = text.slice(node.from, node.to);
      if (node.type.isError) throw new Error(`${text}: wrong at ${node.from}: ${said}`);
      if (node.name === 'VectorSelector') {
        const name = node.getChild('Identifier');
        if (name === null) throw new Error(`${text}: ${said} names no metric`);
        selectors.push({ metric: text.slice(name.from, name.to), labels: [] });
      }
      if (node.name === 'GroupingLabels') isGrouping = true;
      if (node.name !== 'LabelName') return;
      if (isGrouping) groupings.push(said);
      else selectors.at(-1)?.labels.push(said);
    },
    leave: ({ name }) => {
      if (name === 'GroupingLabels') isGrouping = false;
    },
  });
  if (selectors.length === 0) throw new Error(`${text}: asks for nothing`);
  return { selectors, groupings };
};
