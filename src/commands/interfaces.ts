/** The addresses of the machine. */
import { networkInterfaces } from 'node:os';

/** The link on which mode ipvs puts the addresses of Services: they are not the node's own. */
const SERVICE_LINK = 'kube-ipvs0';

export const interfaceAddresses = (): readonly string[] =>
  Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    name === SERVICE_LINK ? [] : (addresses ?? []).map(({ address }) => address),
  );
