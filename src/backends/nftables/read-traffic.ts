/** Reads the counters of each frontend: lists the sets with counters, and nothing else of the table. */
import type { ObjectTraffic, TrafficCounts } from '../../dataplane/contract.ts';
import { bareKeyOf, keyOf } from '../../nftables-json/elements.ts';
import type { Nftables } from '../../nftables-json/nftables.ts';
import type { Counter, Element } from '../../nftables-json/schema.ts';
import { formatExpression } from '../../nftables-json/text.ts';
import { type Counted, counterDeclarations, readCounterSet } from './counters.ts';
import type { NftFamily } from './names.ts';
import { FRONTEND_PREFIX } from './objects.ts';

/** Counters by frontend id. The reader's socket must not be used otherwise meanwhile. Throws NetlinkError. */
export const readTraffic = async (reader: Nftables, family: NftFamily): Promise<ObjectTraffic> => {
  const counts = new Map<string, TrafficCounts>();
  let isWhole = true;
  for (const declaration of counterDeclarations(family)) {
    const counted = readCounterSet(declaration.name)?.counted ?? 'in';
    const seen = new Set<string>();
    const isListed = await reader.visit(declaration, (element) => {
      const id = FRONTEND_PREFIX + formatExpression(bareKeyOf(element));
      // an element that is listed twice has displaced another
      if (seen.has(id)) isWhole = false;
      seen.add(id);
      counts.set(id, { ...counts.get(id), ...countsOf(counted, counterOf(element)) });
    });
    isWhole &&= isListed;
  }
  return { counts, isWhole };
};

const counterOf = (element: Element): Counter | undefined => {
  const key = keyOf(element);
  return typeof key === 'object' && 'elem' in key ? key.elem.counter : undefined;
};

/** Counts of an element. Empty for an element that others added without a counter. */
const countsOf = (counted: Counted, counter: Counter | undefined): TrafficCounts => {
  if (counter === undefined) return {};
  const { packets, bytes } = counter;
  switch (counted) {
    case 'connections':
      return { connections: packets }; // the rule sees the first packet of each connection
    case 'in':
      return { packetsIn: packets, bytesIn: bytes };
    case 'out':
      return { packetsOut: packets, bytesOut: bytes };
  }
};
