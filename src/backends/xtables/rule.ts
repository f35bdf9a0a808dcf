/**
 * Rule text in the form in which iptables-save lists it, so that what we want and what we read compare as text.
 *
 * The order of the basic matches is fixed (source, destination, interface, protocol); extensions follow as given. Both
 * tools, legacy and nf_tables, list alike (compared for 1.8.9).
 */
import type { IPFamily } from '../../model/address.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import type { LocalDetector } from '../../model/node.ts';

export interface Match {
  /** With prefix length; a leading `! ` negates. */
  readonly source?: string;
  readonly destination?: string;
  readonly inInterface?: string;
  readonly protocol?: Protocol;
  /** Destination port of `protocol`, or a range `low:high`. */
  readonly port?: number | string;
  readonly comment?: string;
  /** Further `-m …` matches, before the port. */
  readonly matches?: readonly string[];
}

const option = (name: string, value: string | undefined): string => {
  if (value === undefined) return '';
  return value.startsWith('! ') ? `! ${name} ${value.slice(2)} ` : `${name} ${value} `;
};

/** What goes after `-A CHAIN `. `target` is empty for a rule that only says something. */
export const rule = (match: Match, target: string): string => {
  const protocol = match.protocol?.toLowerCase();
  const text =
    option('-s', match.source) +
    option('-d', match.destination) +
    option('-i', match.inInterface) +
    option('-p', protocol) +
    (match.comment === undefined ? '' : `-m comment --comment ${quote(match.comment)} `) +
    (match.matches ?? []).map((m) => `${m} `).join('') +
    (match.port === undefined ? '' : `-m ${protocol} --dport ${match.port} `);
  return target === '' ? text.trimEnd() : `${text}-j ${target}`;
};

/** Comments hold 255 bytes (xt_comment); the tools cut a longer one without a word, and it would be listed otherwise than written. */
const MAX_COMMENT = 255;
const BARE = /^[-_0-9A-Za-z]+$/;

/** As iptables-save quotes. Names come from objects that no API server may have checked: nothing of them may end the quote. */
export const quote = (comment: string): string => {
  // spaces are folded as they are where rules are read back
  const safe = comment
    .replace(/[^ -~]|["'\\]/g, '?')
    .replace(/ {2,}/g, ' ')
    .slice(0, MAX_COMMENT);
  return BARE.test(safe) ? safe : `"${safe}"`;
};

export const hostCidr = (ip: string): string => (ip.includes(':') ? `${ip}/128` : `${ip}/32`);

export const mark = (value: number): string => `0x${value.toString(16)}`;

export const loopback = (family: IPFamily): string => (family === 'IPv4' ? '127.0.0.0/8' : '::1/128');

export const rejectTarget = (family: IPFamily): string =>
  `REJECT --reject-with ${family === 'IPv4' ? 'icmp-port-unreachable' : 'icmp6-port-unreachable'}`;

const KERNEL_ONE = 2 ** 31;

/** The match that is true once in `n`. The kernel keeps probabilities as 31-bit fractions and lists them with 11 digits. */
export const oneIn = (n: number): string =>
  `-m statistic --mode random --probability ${(Math.round(KERNEL_ONE / n) / KERNEL_ONE).toFixed(11)}`;

/** The match for packets that come (or, negated, do not come) from a pod. */
export const fromPod = (detector: LocalDetector, negated: boolean): Match => {
  const not = negated ? '! ' : '';
  switch (detector.by) {
    case 'source':
      return { source: `${not}${detector.cidr.text}` };
    case 'interface':
      return { inInterface: `${not}${detector.name}` };
    case 'interface-prefix':
      return { inInterface: `${not}${detector.prefix}+` };
  }
};

export const NEW = '-m conntrack --ctstate NEW';
export const TO_LOCAL = '-m addrtype --dst-type LOCAL';
export const FROM_LOCAL = '-m addrtype --src-type LOCAL';
