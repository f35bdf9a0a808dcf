/** Two Services, and what others may do to their elements. */
import { TABLE } from '../../../src/backends/nftables/names.ts';
import { concat } from '../../../src/nftables-json/construct.ts';
import type { Command, Element } from '../../../src/nftables-json/schema.ts';
import { tcp } from '../ipvs/world.ts';

export const here = { family: 'ip', table: TABLE } as const;

export const WEB = tcp('web', '10.96.0.1', ['10.200.0.1', '10.200.0.2', '10.200.0.3']);
export const STICKY = tcp('s', '10.96.0.3', ['10.200.0.3'], { affinitySeconds: 60 });

export const FRONTEND = 'frontend 10.96.0.1 . tcp . 80';
export const KEY = concat('10.96.0.1', 'tcp', 80);
export const slot = (n: number) => concat('10.96.0.1', 'tcp', 80, n);
export const pod = (n: number) => concat(`10.200.0.${n}`, 8080);

export const add = (name: string, ...elem: readonly Element[]): Command => ({
  add: { element: { ...here, name, elem } },
});

export const remove = (name: string, ...elem: readonly Element[]): Command => ({
  delete: { element: { ...here, name, elem } },
});
