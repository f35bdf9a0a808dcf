/**
 * Entry point of the lab's own processes: the bundled `dist/lab/process.js`, found from the sources and from dist
 * alike.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ENTRY = 'dist/lab/process.js';

const packageRoot = (folder: string): string => {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error('the lab runs from its package, and there is none around it');
  return packageRoot(parent);
};

/** Path of a file of the built package. Throws when it is not built. */
export const packageFile = (name: string): string => {
  const path = join(packageRoot(dirname(fileURLToPath(import.meta.url))), name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run \`npm run build\` first`);
  return path;
};

/** Path of the program that agents run. */
export const processEntry = (): string => packageFile(ENTRY);
