/** The iptables tools as the log names them. */
import type { IptablesTools } from '../../kernel/iptables.ts';

export const describeTools = ({ IPv4, variant }: IptablesTools): string => `${IPv4} (${variant ?? 'unknown variant'})`;
