#!/usr/bin/env node
// Runs all tests: unit tests first, which take all processors; then those on this machine's kernel, which mostly wait, and
// beside them those that bring a kernel of their own. What the latter say comes at the end, of one piece.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const VITEST = join(root, 'node_modules/vitest/vitest.mjs');

/** Resolves with the exit status. */
const run = (project, stdio, options = []) =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [VITEST, 'run', `--project=${project}`, ...options], { cwd: root, stdio });
    const said = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => said.push(chunk));
    child.on('close', (status) => resolve({ status: status ?? 1, said: Buffer.concat(said) }));
  });

const { status: unit } = await run('unit', 'inherit', ['--maxWorkers=100%']);
const [kernel, guests] = await Promise.all([run('kernel', 'inherit'), run('guests', ['ignore', 'pipe', 'pipe'])]);
process.stdout.write(guests.said);
process.exitCode = [unit, kernel.status, guests.status].find((status) => status !== 0) ?? 0;
