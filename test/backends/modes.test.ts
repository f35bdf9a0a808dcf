/** The table of modes: a record is about the backend beside it, and the configuration knows the same modes. */
import { describe, expect, it } from 'vitest';
import { offlineBackend, PROFILES, profileOf } from '../../src/backends/index.ts';
import { PROXY_MODES } from '../../src/config/config.ts';
import { loadLine } from '../config/loading.ts';

describe('the table of modes', () => {
  it('has the values of --proxy-mode', () => {
    expect(PROFILES.map(({ mode }) => mode)).toEqual(PROXY_MODES);
  });

  it.each(PROXY_MODES)('has the record of %s under its name, and its backend', async (mode) => {
    expect(profileOf(mode).mode).toBe(mode);
    expect((await offlineBackend(mode, 'IPv4', await loadLine([]))).mode).toBe(mode);
  });

  it('knows how to leave the modes that connections run through, and no others', async () => {
    for (const { mode, leaving } of PROFILES) {
      const { mode: opening } = (await import(`../../src/backends/${mode}/mode.ts`)) as { mode: { leave?: unknown } };
      expect(opening.leave !== undefined, mode).toBe(leaving.drains);
    }
  });
});
