/** The commands of the READMEs that fill in what the manifests leave open, run as they stand there. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { PROXY_MODES } from '../../src/config/config.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const VALUES = {
  API: 'https://10.0.0.1:6443',
  PODS: '10.244.0.0/16,fd20::/48',
  IMAGE: 'registry.test/pointsman:0.1.0',
};

/** What the command that names this file gives to kubectl. */
const filledIn = (readme: string, named: string, file = named): string => {
  const text = readFileSync(join(root, readme), 'utf8');
  const [, command] = new RegExp(`(sed "[^"\`]*" ${named}) \\| kubectl apply -f -`).exec(text) ?? [];
  if (command === undefined) throw new Error(`${readme} has no command for ${named}`);
  const options = { cwd: root, env: { ...process.env, ...VALUES } };
  return execFileSync('sh', ['-ec', command.replace(named, file)], options).toString();
};

const imagesIn = (text: string): readonly string[] => [...new Set(text.match(/image: .*/g))];

const CASES = ['README.md', 'manifests/README.md'].flatMap((readme) => PROXY_MODES.map((mode) => ({ readme, mode })));

it.each(CASES)('$readme fills in the file of mode $mode', ({ readme, mode }) => {
  const text = filledIn(readme, 'manifests/pointsman-nftables.yaml', `manifests/pointsman-${mode}.yaml`);
  expect(text).not.toContain('API-SERVER');
  expect(text).toContain(`server: ${VALUES.API}\n`);
  expect(text).toContain(`    clusterCIDR: ${VALUES.PODS}\n`);
  expect(imagesIn(text)).toEqual([`image: ${VALUES.IMAGE}`]);
});

it('the way back has the same image', () => {
  const text = filledIn('manifests/README.md', 'manifests/cleanup.yaml');
  expect(imagesIn(text)).toEqual([`image: ${VALUES.IMAGE}`]);
});
