import { openPage } from '../lab/demo/page.ts';
import { showBalancing } from '../lab/demo/balancing.ts';
import { showDeparture } from '../lab/demo/departure.ts';
import { createServices, showLab, startProxies } from '../lab/demo/opening.ts';
import { serveOn, withStage } from '../lab/demo/stage.ts';
export const demo = async (signal: AbortSignal): Promise<void> => {
  const page = openPage((t) => process.stdout.write(t));
  await withStage(page, signal, async (stage) => {
    showLab(stage); await startProxies(stage); await createServices(stage); await showBalancing(stage);
  });
};
