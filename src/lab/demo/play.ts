/** The demo's scenes in order, and their findings. */

import { showBalancing } from './balancing.ts';
import { showDeparture } from './departure.ts';
import { type Findings, merge } from './findings.ts';
import { createServices, showLab, startProxies } from './opening.ts';
import { showRestart } from './restart.ts';
import { showRules } from './rules.ts';
import type { Stage } from './stage.ts';

/** Prints the claims of a scene; returns its findings. */
const report = ({ page }: Stage, findings: Findings): Findings => {
  page.say('');
  for (const claim of findings.claims) page.verdict(claim);
  return findings;
};

export const play = async (stage: Stage): Promise<Findings> => {
  showLab(stage);
  const proxy = await startProxies(stage);
  const leavingServer = await createServices(stage);
  return merge([
    report(stage, await showBalancing(stage)),
    report(stage, await showDeparture(stage, leavingServer)),
    report(stage, await showRestart(stage, proxy)),
    report(stage, await showRules(stage)),
  ]);
};
