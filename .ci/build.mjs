#!/usr/bin/env node
// Bundles the program into dist/: start-up costs a fraction of what loading the packages one by one does
// (the API client alone is 700 ms and 80 MB unbundled). Splitting keeps lazy imports lazy.
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
rmSync(join(root, 'dist'), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: [
    { in: 'src/main.ts', out: 'main' },
    { in: 'src/lab/process.ts', out: 'lab/process' },
    { in: 'src/lab/probe/loop.ts', out: 'lab/loop-probe' },
    { in: 'src/lab/probe/asking.ts', out: 'lab/asking' },
    // for others to use
    { in: 'src/ipvs-netlink/ipvs.ts', out: 'ipvs-netlink' },
    { in: 'src/nftables-json/nftables.ts', out: 'nftables-json' },
    { in: 'src/nftables-json/schema.ts', out: 'nftables-json/schema' },
    { in: 'src/nftables-json/construct.ts', out: 'nftables-json/construct' },
    { in: 'src/nftables-json/text.ts', out: 'nftables-json/text' },
    ...(process.argv.includes('bench')
      ? [
          { in: 'bench/run.ts', out: 'bench/run' },
          { in: 'bench/inside/ipvs.ts', out: 'bench/inside/ipvs' },
          { in: 'bench/inside/readers.ts', out: 'bench/inside/readers' },
          { in: 'bench/inside/count.ts', out: 'bench/inside/count' },
          { in: 'bench/inside/flush.ts', out: 'bench/inside/flush' },
          { in: 'bench/inside/others.ts', out: 'bench/inside/others' },
          { in: 'bench/inside/transaction.ts', out: 'bench/inside/transaction' },
        ]
      : []),
  ],
  outdir: 'dist',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // native code: it stays a package
  external: ['koffi'],
  // a lazily imported CommonJS module loses its names when bundles are split: take yaml's ES module build
  alias: { yaml: './node_modules/yaml/browser/index.js' },
  sourcemap: 'linked',
  logLevel: 'warning',
  // CommonJS packages inside an ES module call require() for node's own modules
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});
