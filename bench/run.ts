/**
 * `npm run bench [-- start|change …]`: the measurements of the README, on this machine's kernel, as root.
 * Options: --services=5000 --endpoints=5 --variant=nft|legacy
 */
import { parseArgs } from 'node:util';
import { type Bed, makeBed, putServices, type Variant } from './bed.ts';
import { oneChange } from './change.ts';
import { oneRestore, start } from './start.ts';

const QUESTIONS: Readonly<
  Record<string, (bed: Bed, v: Variant, services: number, endpoints: number) => Promise<void>>
> = {
  start,
  restore: oneRestore,
  change: oneChange,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    services: { type: 'string', multiple: true, default: ['100', '5000'] },
    endpoints: { type: 'string', default: '5' },
    variant: { type: 'string', multiple: true, default: ['nft', 'legacy'] },
  },
});
const questions = positionals.length === 0 ? Object.keys(QUESTIONS) : positionals;
for (const name of questions) {
  if (QUESTIONS[name] === undefined)
    throw new Error(`no measurement ${name}; there are ${Object.keys(QUESTIONS).join(', ')}`);
}

for (const services of values.services.map(Number)) {
  const bed = await makeBed();
  try {
    await putServices(bed, services, Number(values.endpoints));
    for (const variant of values.variant as Variant[]) {
      for (const name of questions) await QUESTIONS[name]?.(bed, variant, services, Number(values.endpoints));
    }
  } finally {
    await bed.remove();
  }
}
