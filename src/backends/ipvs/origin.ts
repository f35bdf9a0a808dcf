/** Tells kube-proxy's virtual servers, sets and addresses from ours: names are the same, but some sets are ours alone. */
import type { Jump, XtablesChain } from '../xtables/objects.ts';
import { rulesOfKubeProxy } from '../xtables/origin.ts';
import { OWN_SETS } from './names.ts';
import type { IpvsObject } from './objects.ts';

const isRule = (object: IpvsObject): object is XtablesChain | Jump => object.kind === 'chain' || object.kind === 'jump';

const isOwnSet = (name: string): boolean => OWN_SETS.some((own) => name.endsWith(own));

/** Virtual servers selected by marks are ours: kube-proxy has none. */
const isOursAlone = (object: IpvsObject): boolean => {
  switch (object.kind) {
    case 'set':
      return isOwnSet(object.definition.name);
    case 'entry':
      return isOwnSet(object.set.name);
    case 'virtual-server':
      return 'fwmark' in object.key;
    case 'real-server':
      return 'fwmark' in object.service;
    default:
      return false;
  }
};

/** Filters the objects that kube-proxy made. The link alone proves nothing: both IP families share it. */
export const ipvsObjectsOfKubeProxy = (found: readonly IpvsObject[]): readonly IpvsObject[] => {
  const rules = rulesOfKubeProxy(found.filter(isRule));
  const others = found.filter((object) => !isRule(object) && object.stays !== true);
  const isOurs = others.some(isOursAlone) && !rules.some(({ id }) => id === 'filter KUBE-IPVS-OUT-FILTER');
  if (isOurs || others.every(({ kind }) => kind === 'device')) return rules;
  const guards = found.filter(
    (object) => isRule(object) && object.table === 'filter' && object.id.endsWith('KUBE-IPVS-FILTER'),
  );
  const theirs = others.filter((object) => !isOursAlone(object));
  return [...new Set<IpvsObject>([...rules, ...guards, ...theirs])];
};
