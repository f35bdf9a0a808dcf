/** Ten thousand addresses, spread as clusters spread them: what a dispatch tree has to be good at. */
import type { PacketDestination } from '../../../src/backends/iptables/objects.ts';
import { formatBytes, type IPFamily } from '../../../src/model/address.ts';
import { idOf, numbers } from './dispatching.ts';

export const COUNT = 10_000;
const NODE_PORTS = 2_768;

export interface Distribution {
  readonly name: string;
  readonly family: IPFamily;
  readonly all: readonly PacketDestination[];
}

const inTen = (second: number, offset: number): string =>
  formatBytes([10, second + (offset >> 16), (offset >> 8) & 255, offset & 255]);

const sequence = (of: (i: number) => PacketDestination, count = COUNT): readonly PacketDestination[] =>
  Array.from({ length: count }, (_, i) => of(i));

/** As many different ones as asked for. */
const scattered = (of: (below: (n: number) => number) => PacketDestination): readonly PacketDestination[] => {
  const below = numbers(7);
  const found = new Map<string, PacketDestination>();
  while (found.size < COUNT) {
    const to = of(below);
    found.set(idOf(to), to);
  }
  return [...found.values()];
};

const tcp = (ip: string | undefined, port = 80): PacketDestination => ({ ip, protocol: 'TCP', port });
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const anyProtocol = (n: number): (typeof PROTOCOLS)[number] => PROTOCOLS[n] ?? 'TCP';

const hex = (n: number): string => n.toString(16);

export const DISTRIBUTIONS: readonly Distribution[] = [
  { name: 'one after the other in 10.96.0.0/16', family: 'IPv4', all: sequence((i) => tcp(inTen(96, i + 1))) },
  { name: 'scattered over 10.96.0.0/12', family: 'IPv4', all: scattered((below) => tcp(inTen(96, below(2 ** 20)))) },
  {
    name: 'on any port and protocol in 10.96.0.0/12',
    family: 'IPv4',
    all: scattered((below) => ({
      ip: inTen(96, below(2 ** 20)),
      protocol: anyProtocol(below(3)),
      port: 1 + below(65_535),
    })),
  },
  { name: 'all in one /24, on any port', family: 'IPv4', all: scattered((b) => tcp(inTen(96, b(256)), 1 + b(65_535))) },
  { name: 'all at one address', family: 'IPv4', all: sequence((i) => tcp('10.96.0.1', 20_000 + i)) },
  {
    name: 'scattered over fd00:10:96::/108',
    family: 'IPv6',
    all: scattered((below) => tcp(`fd00:10:96::${hex(1 + below(15))}:${hex(1 + below(65_535))}`)),
  },
  {
    name: 'scattered over fd00:10:96::/64',
    family: 'IPv6',
    all: scattered((below) => tcp(`fd00:10:96:0:${[1, 2, 3, 4].map(() => hex(1 + below(65_535))).join(':')}`)),
  },
  {
    name: 'every NodePort, and the rest in 10.96.0.0/16',
    family: 'IPv4',
    all: [
      ...sequence((i) => tcp(undefined, 30_000 + i), NODE_PORTS),
      ...sequence((i) => tcp(inTen(96, i)), COUNT - NODE_PORTS),
    ],
  },
];
