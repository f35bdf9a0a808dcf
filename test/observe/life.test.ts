import { describe, expect, it } from 'vitest';
import { Life } from '../../src/observe/life.ts';
import { faults, parseExposition } from './exposition.ts';

const series = async (life: Life, name: string): Promise<string | undefined> =>
  (await life.exposition()).split('\n').find((line) => line.startsWith(`${name} `));

describe('the life of the process', () => {
  it('counts what became of configurations, and whether the one in force is what the files say', async () => {
    const life = new Life();
    const state = async () => [
      await series(life, 'pointsman_config_outdated'),
      await series(life, 'pointsman_config_reloads_total{result="applied"}'),
    ];
    const shown = (outdated: number, applied: number) => [
      `pointsman_config_outdated ${outdated}`,
      `pointsman_config_reloads_total{result="applied"} ${applied}`,
    ];
    expect(await state()).toEqual(shown(0, 0));
    life.reloaded('refused');
    expect(await state()).toEqual(shown(1, 0));
    life.settled();
    expect(await state()).toEqual(shown(0, 0));
    life.reloaded('applied');
    expect(await state()).toEqual(shown(0, 1));
    life.reloaded('reverted');
    expect(await state()).toEqual(shown(1, 1));
    expect(await series(life, 'pointsman_config_reloads_total{result="refused"}')).toMatch(/ 1$/);
    expect(faults(parseExposition(await life.exposition()))).toEqual([]);
  });
});
