/** What a service port becomes, in short lines. */
import { compile } from '../../../src/backends/nftables/compile.ts';
import { nftFamily } from '../../../src/backends/nftables/names.ts';
import { creation, type NftObject } from '../../../src/backends/nftables/objects.ts';
import { parseCIDR } from '../../../src/model/address.ts';
import type { NodeContext } from '../../../src/model/node.ts';
import type { ServicePort } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { formatElement, formatStatements } from '../../../src/nftables-json/text.ts';
import { nodeOf, tcp } from '../ipvs/world.ts';

export const HERE = '10.200.0.1';
export const THERE = '10.200.1.2';
export const VIP = '203.0.113.7';
export const NODE = nodeOf('IPv4');

/** Elements one by one and rules, without comments. */
export const linesOf = (service: ServiceEndpoints, node: NodeContext = NODE): readonly string[] =>
  compile(service, node)
    .objects.flatMap((object: NftObject) => creation(object, nftFamily(node.family)))
    .flatMap((command) => {
      if (!('add' in command)) throw new Error('this adds nothing');
      if ('element' in command.add) {
        const { name, elem } = command.add.element;
        return elem.map((one) => `${name} { ${formatElement(one)} }`.replace(/ comment "[^"]*"/, ''));
      }
      return 'rule' in command.add ? [`${command.add.rule.chain}: ${formatStatements(command.add.rule.expr)}`] : [];
    });

export const elementsOf = (service: ServiceEndpoints, node?: NodeContext): readonly string[] =>
  linesOf(service, node).filter((line) => line.includes('{'));

export const about = (lines: readonly string[], text: string): readonly string[] =>
  lines.filter((line) => line.includes(text));

export const ranges = (...texts: readonly string[]) => texts.flatMap((text) => parseCIDR(text) ?? []);
export const web = (endpoints: readonly string[], port: Partial<ServicePort> = {}) =>
  tcp('web', '10.96.0.1', endpoints, port);
