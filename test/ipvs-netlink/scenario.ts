/** A conversation with IPVS: everything that the library says, and what it makes of the answers. */
import {
  deleteDestination,
  deleteService,
  Ipvs,
  MASQUERADE,
  newDestination,
  newService,
  PLAIN,
  setDestination,
  setService,
} from '../../src/ipvs-netlink/ipvs.ts';
import type { ServiceKey } from '../../src/ipvs-netlink/types.ts';
import type { Socket } from '../../src/netlink/socket.ts';

const WEB: ServiceKey = { protocol: 'TCP', address: '10.96.0.80', port: 80 };
const DNS6: ServiceKey = { protocol: 'UDP', address: 'fd96::53', port: 53 };
const SIGNALS: ServiceKey = { protocol: 'SCTP', address: 'fd96::80', port: 3868 };
const MARKED: ServiceKey = { fwmark: 0x4001, family: 'IPv4' };
const POD = { address: '10.244.1.7', port: 8080 };
const POD6 = { address: 'fd20::7', port: 5353 };

const OPERATIONS = [
  newService(WEB, { ...PLAIN, scheduler: 'lc', persistenceSeconds: 300 }),
  newDestination(WEB, POD, MASQUERADE),
  newDestination(
    WEB,
    { ...POD, address: '10.244.1.8' },
    { ...MASQUERADE, weight: 3, upperThreshold: 9, lowerThreshold: 2 },
  ),
  newDestination(WEB, POD, MASQUERADE),
  newService(DNS6, { ...PLAIN, isOnePacket: true }),
  newDestination(DNS6, POD6, { ...MASQUERADE, forwarding: 'route' }),
  newService(SIGNALS, { ...PLAIN, scheduler: 'mh', hashesPort: true, hasFallback: true }),
  newService(MARKED, { ...PLAIN, scheduler: 'none-such' }),
  newService(MARKED, PLAIN),
  newDestination(MARKED, POD, MASQUERADE),
  setService(WEB, { ...PLAIN, scheduler: 'wrr' }),
  setDestination(WEB, POD, { ...MASQUERADE, weight: 0 }),
  deleteDestination(WEB, { ...POD, port: 1 }),
  deleteService({ protocol: 'UDP', address: '192.0.2.1', port: 5 }),
  deleteService(SIGNALS),
];

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** Plain text, in an order that does not depend on the kernel's hash tables. */
export const converse = (socket: Socket): string => {
  const ipvs = Ipvs.open(socket);
  const failures = ipvs.execute(OPERATIONS).map(({ index, error }) => `${index} ${error.message}`);
  const services = [...ipvs.services()].sort((a, b) => byText(a.key, b.key));
  const listed = services.map((service) => ({
    ...service,
    destinations: [...ipvs.destinations(service.key)].sort((a, b) => byText(a.key, b.key)),
  }));
  const none = ipvs.destinations(SIGNALS);
  const before = ipvs.timeouts();
  ipvs.setTimeouts({ tcp: 800, tcpFin: 0, udp: 100 });
  const result = { failures, listed, none, before, after: ipvs.timeouts(), sent: ipvs.sent };
  ipvs.close();
  return JSON.stringify(result, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value), 1);
};
