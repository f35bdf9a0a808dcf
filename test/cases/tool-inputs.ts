/** What an iptables-restore takes and refuses: the same for the one in memory and the real ones. */

export interface ToolInput {
  readonly name: string;
  /** What is there before. */
  readonly before: string;
  readonly input: string;
  readonly isRefused: boolean;
}

const nat = (...lines: readonly string[]): string => ['*nat', ...lines, 'COMMIT', ''].join('\n');
const filter = (...lines: readonly string[]): string => ['*filter', ...lines, 'COMMIT', ''].join('\n');
const chain = (name: string): string => `:${name} - [0:0]`;

const taken = (name: string, before: string, input: string): ToolInput => ({ name, before, input, isRefused: false });
const refused = (name: string, before: string, input: string): ToolInput => ({ name, before, input, isRefused: true });

const A = nat(chain('KUBE-A'), '-A KUBE-A -s 10.0.0.1/32 -j RETURN', '-A KUBE-A -s 10.0.0.2/32 -j RETURN');
const A_IN_USE = nat(chain('KUBE-A'), '-A OUTPUT -j KUBE-A');

export const TOOL_INPUTS: readonly ToolInput[] = [
  taken('a declared chain is there, and empty', '', nat(chain('KUBE-A'))),
  taken('a chain that is declared again is emptied', A, nat(chain('KUBE-A'), '-A KUBE-A -s 10.0.0.3/32 -j RETURN')),
  taken('a chain that is made is there, and empty', '', nat('-N KUBE-A', '-I KUBE-A -s 10.0.0.1/32 -j RETURN')),
  taken('what is not named stays', A, nat(chain('KUBE-B'))),
  taken('a chain that is declared and ended is gone', A, nat(chain('KUBE-A'), '-X KUBE-A')),
  taken('the same of a chain that was not there', '', nat(chain('KUBE-A'), '-X KUBE-A')),
  taken('an inserted rule is the first', A, nat('-I KUBE-A -s 10.0.0.3/32 -j RETURN')),
  taken(
    'a deleted rule is gone, the first of its kind',
    `${A}${nat('-A KUBE-A -s 10.0.0.1/32 -j RETURN')}`,
    nat('-D KUBE-A -s 10.0.0.1/32 -j RETURN'),
  ),
  taken(
    'a rule may name a chain that is declared below it',
    '',
    nat(chain('KUBE-A'), chain('KUBE-B'), '-A KUBE-A -j KUBE-B'),
  ),
  taken('two tables', '', `${filter(chain('KUBE-A'))}${nat(chain('KUBE-A'))}`),
  taken('a chain named with 28 characters', '', nat(chain('KUBE-1234567890123456789012X'))),
  taken(
    'a comment of 255 characters',
    '',
    nat(chain('KUBE-A'), `-A KUBE-A -m comment --comment "${'a b'.repeat(85)}"`),
  ),
  taken(
    'a comment of 256 characters, which is cut',
    '',
    nat(chain('KUBE-A'), `-A KUBE-A -m comment --comment ${'a'.repeat(256)}`),
  ),
  refused('a jump to a chain that is not there', '', nat(chain('KUBE-A'), '-A KUBE-A -j KUBE-B')),
  refused('a chain that is made again, which is left as it was', A, nat('-N KUBE-A')),
  refused('a rule in a chain that is not there', '', nat('-A KUBE-A -j RETURN')),
  refused('the end of a chain that others lead to', A_IN_USE, nat(chain('KUBE-A'), '-X KUBE-A')),
  refused('the end of a chain with rules', A, nat('-X KUBE-A')),
  refused('the end of a chain that is not there', '', nat('-X KUBE-A')),
  refused('the end of a rule that is not there', A, nat('-D KUBE-A -s 10.0.0.9/32 -j RETURN')),
  refused('a chain named with 29 characters', '', nat(chain('KUBE-1234567890123456789012XY'))),
  refused('a table that is none', '', '*none\nCOMMIT\n'),
  refused('nothing of a table when one line is refused', A, nat(chain('KUBE-B'), '-A KUBE-B -j KUBE-C')),
  refused(
    'a later table, while the former is in force',
    A,
    `${filter(chain('KUBE-A'))}${nat(chain('KUBE-B'), '-A KUBE-B -j KUBE-C')}`,
  ),
  refused('words that mean nothing', '', nat(chain('KUBE-A'), 'add KUBE-A')),
];
