/**
 * What a dump prints with traffic counted, loaded by nft: the program that starts there finds what it wants. By an nft that
 * reads `ct original proto-dst` within a concatenation, which Debian 12's does not.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { NEWER_NFT } from '../../.ci/newer-nft.mjs';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { type KernelSockets, openKernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { everyKind, FAMILIES, nodeOf } from '../backends/ipvs/world.ts';
import { input } from '../dataplane/fake-backend.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { describeWith, type Need } from './requires.ts';

const NEWER = fileURLToPath(new URL(`../../${NEWER_NFT}`, import.meta.url));
const newer: Need = {
  what: `nft of Debian 13 as ${NEWER_NFT} (node .ci/prepare.mjs)`,
  isMet: () => spawnSync(NEWER, ['--version']).status === 0,
};

const socketsIn = ({ enter }: Namespace): KernelSockets => {
  const { writer, openReader, openWatch } = enter(openKernelSockets);
  return { writer, openReader: () => enter(openReader), openWatch: (family) => enter(() => openWatch(family)) };
};

describeWith([...NAMESPACE_NEEDS, newer], 'a dump with traffic counted', () => {
  it.each(FAMILIES.flatMap((family) => (['text', 'JSON'] as const).map((form) => ({ family, form }))))(
    'in $family, as $form, is the table that the program wants',
    async ({ family, form }) => {
      const namespace = createNamespace();
      try {
        const work = input(everyKind(family), [], nodeOf(family));
        const printing = nftablesBackend({ family, counts: true });
        const { sections } = compileAll(printing, work);
        if (form === 'text') namespace.runOn(printing.print(sections)[0]?.text ?? '', NEWER, '-f');
        else namespace.runOn(printing.printJson?.(sections) ?? '', NEWER, '-j', '-f');
        const backend = nftablesBackend({ family, sockets: socketsIn(namespace), counts: true });
        const reconciler = new Reconciler(backend, { signal: new AbortController().signal });
        const { changes } = await reconciler.sync(work);
        expect(changes).toEqual({ added: 0, replaced: 0, removed: 0 });
        expect((await reconciler.traffic())?.counts.size).toBeGreaterThan(20);
      } finally {
        namespace.remove();
      }
    },
  );
});
