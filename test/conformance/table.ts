/**
 * The conformance table: who sends where, and what becomes of it. Every backend must pass it, in the packet walker and
 * with real packets. Expectations are those of kube-proxy 1.36 unless a row says otherwise.
 */
import type { Flags, Row } from './rows.ts';
import { ADDRESSES_OF_SERVICES } from './table-addresses.ts';
import { BASICS } from './table-basics.ts';
import { EDITS } from './table-edits.ts';
import { LIVES_AND_RIVALS } from './table-lives.ts';
import { MATRIX } from './table-matrix.ts';
import { OWN_ADDRESS } from './table-own-address.ts';
import { POLICIES } from './table-policies.ts';
import { PORTS } from './table-ports.ts';
import { STATES } from './table-states.ts';
import { ENDPOINT_STEPS } from './table-steps.ts';
import { TOPOLOGY } from './table-topology.ts';

export const ROWS: readonly Row[] = [
  ...BASICS,
  ...PORTS,
  ...MATRIX,
  ...POLICIES,
  ...ADDRESSES_OF_SERVICES,
  ...STATES,
  ...TOPOLOGY,
  ...ENDPOINT_STEPS,
  ...EDITS,
  ...LIVES_AND_RIVALS,
  ...OWN_ADDRESS,
];

/** Flags of rows that name none. */
export const DEFAULT_FLAGS: Flags = { 'cluster-cidr': '10.200.0.0/16,fd20::/48' };
