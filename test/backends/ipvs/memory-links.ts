/** Links and addresses in memory, with the answers and refusals of the real ones (rtnetlink(7)). */
import { addressBytes, FAMILY, familyOfAddress, formatAddress } from '../../../src/netlink/address.ts';
import { bytes, decode, encode, getText, nest, sizeOf, text } from '../../../src/netlink/attributes.ts';
import { readU32, writeI32 } from '../../../src/netlink/bytes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { FLAG, type Message } from '../../../src/netlink/message.ts';
import type { Reply } from './memory-end.ts';

const TYPE = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWADDR: 20, DELADDR: 21, GETADDR: 22 } as const;
const IFLA = { IFNAME: 3, LINKINFO: 18, KIND: 1 } as const;
const IFA = { ADDRESS: 1, LOCAL: 2 } as const;
const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const SCOPE = { global: 0, link: 253, host: 254 } as const;

interface Address {
  readonly index: number;
  readonly address: string;
  readonly prefix: number;
  readonly scope: keyof typeof SCOPE;
}

export class MemoryLinks {
  readonly #links = new Map<string, { readonly index: number; readonly kind: string }>();
  #addresses: readonly Address[] = [];
  #last = 0;

  constructor() {
    this.add('lo', '');
    this.addAddress('lo', '127.0.0.1', 8, 'host');
    this.addAddress('lo', '::1', 128, 'host');
  }

  has(name: string): boolean {
    return this.#links.has(name);
  }

  add(name: string, kind: string): void {
    this.#last += 1;
    this.#links.set(name, { index: this.#last, kind });
  }

  addAddress(name: string, address: string, prefix: number, scope: Address['scope'] = 'global'): void {
    const index = this.#links.get(name)?.index ?? 0;
    this.#addresses = [...this.#addresses, { index, address, prefix, scope }];
  }

  /** Its addresses go with it. */
  remove(name: string): number {
    const link = this.#links.get(name);
    if (link === undefined) return ERRNO.ENODEV;
    this.#links.delete(name);
    this.#addresses = this.#addresses.filter(({ index }) => index !== link.index);
    return 0;
  }

  readonly handle = (message: Message): Reply => {
    const { type, body } = message;
    if (type === TYPE.GETADDR) return this.#listAddresses(body[0] ?? 0);
    if (type === TYPE.NEWADDR || type === TYPE.DELADDR) return this.#changeAddress(message);
    const attributes = decode(body.subarray(LINK_HEADER));
    const name = getText(attributes, IFLA.IFNAME);
    if (type === TYPE.GETLINK) return this.#getLink(name);
    if (type === TYPE.DELLINK) return this.remove(name);
    if (type !== TYPE.NEWLINK) return ERRNO.EOPNOTSUPP;
    if (this.#links.has(name)) return (message.flags & FLAG.EXCL) === 0 ? 0 : ERRNO.EEXIST;
    this.add(name, getText(decode(attributes.get(IFLA.LINKINFO) ?? Buffer.alloc(0)), IFLA.KIND));
    return 0;
  };

  #getLink(name: string): Reply {
    const link = this.#links.get(name);
    if (link === undefined) return ERRNO.ENODEV;
    const attributes = [text(IFLA.IFNAME, name), nest(IFLA.LINKINFO, [text(IFLA.KIND, link.kind)])];
    const body = Buffer.alloc(LINK_HEADER + sizeOf(attributes));
    writeI32(body, link.index, 4);
    encode(body, LINK_HEADER, attributes);
    return { type: TYPE.NEWLINK, bodies: [body] };
  }

  #listAddresses(family: number): Reply {
    const wanted = this.#addresses.filter(({ address }) => FAMILY[familyOfAddress(address)] === family);
    const bodies = wanted.map(({ index, address, prefix, scope }) => {
      const value = addressBytes(address);
      // IPv6 has no LOCAL where there is no peer
      const attributes = [...(value.length === 4 ? [bytes(IFA.LOCAL, value)] : []), bytes(IFA.ADDRESS, value)];
      const body = Buffer.alloc(ADDRESS_HEADER + sizeOf(attributes));
      body.set([family, prefix, 0, SCOPE[scope]]);
      writeI32(body, index, 4);
      encode(body, ADDRESS_HEADER, attributes);
      return body;
    });
    return { type: TYPE.NEWADDR, bodies };
  }

  #changeAddress({ type, body }: Message): number {
    const index = readU32(body, 4);
    if (![...this.#links.values()].some((link) => link.index === index)) return ERRNO.ENODEV;
    const attributes = decode(body.subarray(ADDRESS_HEADER));
    const address = formatAddress(attributes.get(IFA.LOCAL) ?? Buffer.alloc(4));
    const isThere = this.#addresses.some((one) => one.index === index && one.address === address);
    if (type === TYPE.DELADDR) {
      if (!isThere) return ERRNO.EADDRNOTAVAIL;
      this.#addresses = this.#addresses.filter((one) => one.index !== index || one.address !== address);
      return 0;
    }
    if (isThere) return ERRNO.EEXIST;
    this.#addresses = [...this.#addresses, { index, address, prefix: body[1] ?? 0, scope: 'global' }];
    return 0;
  }
}
