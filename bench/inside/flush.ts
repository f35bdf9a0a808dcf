/** Flushes the proxy's tables in this network namespace, like `nft flush ruleset`. */
import { TABLE } from '../../src/backends/nftables/names.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';

const nftables = Nftables.open();
nftables.run([
  { delete: { table: { family: 'ip', name: TABLE } } },
  { delete: { table: { family: 'ip6', name: TABLE } } },
]);
