/**
 * Rule text as iptables-save lists it, so that desired and listed rules compare as text.
 *
 * The order of the basic matches is fixed (source, destination, interface, protocol). Extensions follow as given. The
 * legacy and the nf_tables tool list alike (compared for 1.8.9).
 */
import type { IPFamily } from '../../model/address.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import type { LocalDetector } from '../../model/node.ts';

export interface RuleMatch {
  /** CIDR with prefix length. A leading `! ` negates it. */
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

/** Text behind `-A CHAIN `. `target` is empty for a rule that is only a comment. */
export const rule = (match: RuleMatch, target: string): string => {
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

/** Comments hold 255 bytes (xt_comment). The tools cut a longer one silently, and list it otherwise than written. */
const MAX_COMMENT = 255;
const BARE = /^[-_0-9A-Za-z]+$/;

/**
 * Quotes as iptables-save does. Names come from objects that no API server may have checked: no character of them may end
 * the quote.
 */
export const quote = (comment: string): string => {
  // spaces are folded as in parse.ts
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

/** Matches one packet in `n`. The kernel keeps probabilities as 31-bit fractions and lists them with 11 digits. */
export const oneIn = (n: number): string =>
  `-m statistic --mode random --probability ${(Math.round(KERNEL_ONE / n) / KERNEL_ONE).toFixed(11)}`;

/** Matches packets that come (or, negated, do not come) from a pod. */
export const fromPod = (detector: LocalDetector, negated: boolean): RuleMatch => {
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
