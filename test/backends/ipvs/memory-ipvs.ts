/** IPVS in memory, with the answers and refusals of the real one (net/netfilter/ipvs/ip_vs_ctl.c). */
import { serviceFlag } from '../../../src/backends/ipvs/objects.ts';
import {
  destinationAttribute,
  familyOfKey,
  readDestination,
  readService,
  readTimeouts,
  serviceAttribute,
  timeoutAttributes,
} from '../../../src/ipvs-netlink/layout.ts';
import type {
  DestinationKey,
  DestinationSettings,
  IpvsService,
  ServiceKey,
  Timeouts,
} from '../../../src/ipvs-netlink/types.ts';
import { addressBytes, familyOfAddress } from '../../../src/netlink/address.ts';
import { type Attribute, bytes, getText, nest, u16, u32 } from '../../../src/netlink/attributes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { genericAttributes, genericRequest } from '../../../src/netlink/generic.ts';
import type { Message } from '../../../src/netlink/message.ts';
import type { Reply } from './memory-end.ts';

const CONTROL = 16;
const FAMILY = 30;
export const COMMAND = {
  NEW_SERVICE: 1,
  SET_SERVICE: 2,
  DEL_SERVICE: 3,
  GET_SERVICE: 4,
  NEW_DEST: 5,
  SET_DEST: 6,
  DEL_DEST: 7,
  GET_DEST: 8,
  SET_CONFIG: 12,
  GET_CONFIG: 13,
} as const;
const SERVICE = { NEST: 1, STATS64: 12 } as const;
const DESTINATION = { NEST: 2, ACTIVE: 7, INACTIVE: 8, STATS64: 12, PACKETS_IN: 2 } as const;

export interface Destination {
  readonly key: DestinationKey;
  settings: DestinationSettings;
  connections: number;
  /** That clients have sent. */
  packets: number;
}

interface VirtualServer {
  readonly key: ServiceKey;
  settings: IpvsService['settings'];
  traffic: readonly bigint[];
  readonly destinations: Map<string, Destination>;
}

type Attributes = ReturnType<typeof genericAttributes>;

export class MemoryIpvs {
  /** Modules that are there. */
  readonly schedulers = new Set(['rr', 'wrr', 'lc', 'wlc', 'sh', 'mh']);
  /** What is said to a command, whatever it asks for; undefined: it is carried out. */
  refuses: (command: number) => number | undefined = () => undefined;
  timeouts: Timeouts = { tcp: 900, tcpFin: 120, udp: 300 };
  readonly #services = new Map<string, VirtualServer>();

  /** As ipvsadm names them: `-t 10.96.0.1:443`, `10.244.1.7:8080`. Throws when there is none. */
  destination(service: string, server: string): Destination {
    const found = this.#services.get(service)?.destinations.get(server);
    if (found === undefined) throw new Error(`there is no ${service} -r ${server}`);
    return found;
  }

  /** What it says of a virtual server: connections, packets in and out, bytes in and out. Throws when there is none. */
  count(service: string, ...traffic: readonly bigint[]): void {
    const found = this.#services.get(service);
    if (found === undefined) throw new Error(`there is no ${service}`);
    found.traffic = traffic;
  }

  has(service: string, server?: string): boolean {
    const found = this.#services.get(service);
    return server === undefined ? found !== undefined : found?.destinations.has(server) === true;
  }

  /** Of its services, as ipvsadm names them. */
  flags(): readonly string[] {
    return [...this.#services.keys()];
  }

  /** `ipvsadm -C`. */
  flush(): void {
    this.#services.clear();
  }

  readonly handle = (message: Message): Reply => {
    const attributes = genericAttributes(message);
    if (message.type === CONTROL) return this.#familyNamed(getText(attributes, 2));
    if (message.type !== FAMILY) return ERRNO.ENOENT;
    const command = message.body[0] ?? 0;
    switch (command) {
      case COMMAND.GET_SERVICE:
        return this.#answer(COMMAND.NEW_SERVICE, [...this.#services.values()].map(listedService));
      case COMMAND.GET_DEST:
        return this.#answer(COMMAND.NEW_DEST, this.#destinationsOf(attributes).map(listedDestination));
      case COMMAND.GET_CONFIG:
        return this.#answer(COMMAND.SET_CONFIG, [timeoutAttributes(this.timeouts)]);
      case COMMAND.SET_CONFIG:
        this.timeouts = merged(this.timeouts, readTimeouts(attributes));
        return 0;
      default:
        return this.refuses(command) ?? this.#write(command, attributes);
    }
  };

  #familyNamed(name: string): Reply {
    const body = genericRequest(CONTROL, 1, [u16(1, FAMILY)]).body;
    return name === 'IPVS' ? { type: CONTROL, bodies: [body] } : ERRNO.ENOENT;
  }

  #answer(command: number, lists: readonly (readonly Attribute[])[]): Reply {
    return { type: FAMILY, bodies: lists.map((attributes) => genericRequest(FAMILY, command, attributes).body) };
  }

  #destinationsOf(attributes: Attributes): readonly Destination[] {
    const service = this.#services.get(serviceFlag(readService(attributes).key));
    return [...(service?.destinations.values() ?? [])];
  }

  #write(command: number, attributes: Attributes): number {
    const { key, settings } = readService(attributes);
    const id = serviceFlag(key);
    const service = this.#services.get(id);
    if (command === COMMAND.NEW_SERVICE) {
      if (service !== undefined) return ERRNO.EEXIST;
      if (!this.schedulers.has(settings.scheduler)) return ERRNO.ENOENT;
      this.#services.set(id, { key, settings, traffic: [], destinations: new Map() });
      return 0;
    }
    if (service === undefined) return ERRNO.ESRCH;
    if (command === COMMAND.SET_SERVICE) {
      if (!this.schedulers.has(settings.scheduler)) return ERRNO.ENOENT;
      service.settings = settings;
      return 0;
    }
    if (command !== COMMAND.DEL_SERVICE) return writeDestination(service, command, attributes);
    this.#services.delete(id);
    return 0;
  }
}

const writeDestination = (
  { key: of, destinations }: VirtualServer,
  command: number,
  attributes: Attributes,
): number => {
  const { key, settings } = readDestination(attributes, familyOfKey(of));
  const id = key.address.includes(':') ? `[${key.address}]:${key.port}` : `${key.address}:${key.port}`;
  const found = destinations.get(id);
  if (command === COMMAND.NEW_DEST) {
    if (found !== undefined) return ERRNO.EEXIST;
    if (!isUnicast(key.address) || familyOfAddress(key.address) !== familyOfKey(of)) return ERRNO.EINVAL;
    destinations.set(id, { key, settings, connections: 0, packets: 0 });
    return 0;
  }
  if (found === undefined) return ERRNO.ENOENT;
  if (command === COMMAND.SET_DEST) found.settings = settings;
  else if (command === COMMAND.DEL_DEST) destinations.delete(id);
  else return ERRNO.EOPNOTSUPP;
  return 0;
};

const isUnicast = (address: string): boolean => {
  const [first = 0] = addressBytes(address);
  return address.includes(':') ? first !== 0xff : first < 224;
};

/** 0 stays as it is. */
const merged = (old: Timeouts, given: Timeouts): Timeouts => ({
  tcp: given.tcp || old.tcp,
  tcpFin: given.tcpFin || old.tcpFin,
  udp: given.udp || old.udp,
});

const listedService = ({ key, settings, traffic }: VirtualServer): readonly Attribute[] => {
  const { value } = serviceAttribute(key, settings);
  const own = Array.isArray(value) ? (value as readonly Attribute[]) : [];
  return [
    nest(SERVICE.NEST, [
      ...own,
      nest(
        SERVICE.STATS64,
        traffic.map((count, i) => bytes(i + 1, wide(count))),
      ),
    ]),
  ];
};

const wide = (count: bigint): Buffer => {
  const value = Buffer.alloc(8);
  new DataView(value.buffer, value.byteOffset).setBigUint64(0, count, isLittleEndian());
  return value;
};

const listedDestination = ({ key, settings, connections, packets }: Destination): readonly Attribute[] => {
  const { value } = destinationAttribute(key, settings);
  const own = Array.isArray(value) ? (value as readonly Attribute[]) : [];
  const active = Math.ceil(connections / 2);
  return [
    nest(DESTINATION.NEST, [
      ...own,
      u32(DESTINATION.ACTIVE, active),
      u32(DESTINATION.INACTIVE, connections - active),
      nest(DESTINATION.STATS64, [bytes(DESTINATION.PACKETS_IN, wide(BigInt(packets)))]),
    ]),
  ];
};

const isLittleEndian = (): boolean => new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
