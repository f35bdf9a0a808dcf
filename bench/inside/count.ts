/** Counts the contents of the table in this network namespace; prints JSON. */
import { TABLE } from '../../src/backends/nftables/names.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';

const nftables = Nftables.open();
const listing = nftables.list('ip', TABLE);
if (listing === undefined) throw new Error(`there is no table ${TABLE}`);
let elements = 0;
for (const { declaration } of listing.sets) {
  await nftables.visit(declaration, () => {
    elements += 1;
  });
}
const { chains, rules, sets } = listing;
console.log(JSON.stringify({ chains: chains.length, rules: rules.length, sets: sets.length, elements }));
