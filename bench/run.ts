/**
 * `npm run bench [-- start|restore|change|flush|loop|slow-readers|growth|others|transaction|ipvs …]`: the measurements of bench/README.md, on this machine's kernel, as root.
 * `start`, `restore`, `change`, `flush`, `loop` and `slow-readers` take --services=5000 --endpoints=5 --variant=iptables-nft|iptables-legacy|nftables;
 * with LOOP_PROFILES=FOLDER `loop` names the causes of long turns; `others` and `transaction` are mode nftables alone, without a cluster; `growth` needs
 * neither root nor a kernel; `ipvs` runs in User Mode Linux.
 */
import { parseArgs } from 'node:util';
import { oneChange } from './change.ts';
import { flush } from './flush.ts';
import { growth } from './growth.ts';
import { ipvs } from './ipvs.ts';
import { loop } from './loop.ts';
import { others } from './others.ts';
import { slowReaders } from './slow-readers.ts';
import { oneRestore, start } from './start.ts';
import { createTestBed, putServices, type TestBed, VARIANTS, type Variant } from './test-bed.ts';
import { transaction } from './transaction.ts';

const QUESTIONS: Readonly<
  Record<string, (bed: TestBed, v: Variant, services: number, endpoints: number) => Promise<void>>
> = {
  start,
  restore: oneRestore,
  change: oneChange,
  flush,
  loop,
  'slow-readers': slowReaders,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    services: { type: 'string', multiple: true, default: ['100', '5000'] },
    endpoints: { type: 'string', default: '5' },
    variant: { type: 'string', multiple: true, default: Object.keys(VARIANTS) },
  },
});
const known = [...Object.keys(QUESTIONS), 'growth', 'others', 'transaction', 'ipvs'];
const unknown = positionals.find((name) => !known.includes(name));
if (unknown !== undefined) throw new Error(`no measurement ${unknown}; there are ${known.join(', ')}`);
const asked = positionals.length === 0 ? known : positionals;
const questions = asked.filter((name) => name in QUESTIONS);
const strange = values.variant.find((name) => !(name in VARIANTS));
if (strange !== undefined) throw new Error(`no variant ${strange}; there are ${Object.keys(VARIANTS).join(', ')}`);

for (const services of questions.length === 0 ? [] : values.services.map(Number)) {
  const bed = await createTestBed();
  try {
    await putServices(bed, services, Number(values.endpoints));
    for (const variant of values.variant as Variant[]) {
      for (const name of questions) await QUESTIONS[name]?.(bed, variant, services, Number(values.endpoints));
    }
  } finally {
    await bed.remove();
  }
}
if (asked.includes('growth')) await growth();
if (asked.includes('others')) await others();
if (asked.includes('transaction')) await transaction();
if (asked.includes('ipvs')) await ipvs();
