/** A kernel's links and addresses behind the two sockets, which counts what it is asked. */
import type { RouteSockets } from '../../src/addresses/node-addresses.ts';
import { addressBytes, FAMILY, familyOfAddress } from '../../src/netlink/address.ts';
import { type Attribute, bytes, encode, sizeOf, text } from '../../src/netlink/attributes.ts';
import { writeI32 } from '../../src/netlink/bytes.ts';
import { ERRNO, NetlinkError } from '../../src/netlink/error.ts';
import { acknowledge, done, type FakeAnswer, fakeSocket, part, refuse } from '../../src/netlink/fake-socket.ts';
import { encodeMessage, FLAG, type Message, messageLength } from '../../src/netlink/message.ts';

const TYPE = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWADDR: 20, DELADDR: 21, GETADDR: 22 } as const;
const IFLA_IFNAME = 3;
const IFA_ADDRESS = 1;

const bodyOf = (header: number, attributes: readonly Attribute[]): Buffer => {
  const body = Buffer.alloc(header + sizeOf(attributes));
  encode(body, header, attributes);
  return body;
};

const linkBody = (index: number, name: string, family = 0): Buffer => {
  const body = bodyOf(16, [text(IFLA_IFNAME, name)]);
  body[0] = family;
  writeI32(body, index, 4);
  return body;
};

const addressBody = (index: number, address: string): Buffer => {
  const body = bodyOf(8, [bytes(IFA_ADDRESS, addressBytes(address))]);
  body[0] = FAMILY[familyOfAddress(address)];
  writeI32(body, index, 4);
  return body;
};

const datagram = (type: number, body: Buffer): Buffer => {
  const request = { type, flags: 0, body };
  const target = Buffer.alloc(messageLength(request));
  encodeMessage(target, 0, request, 0, 0);
  return target;
};

export class FakeRtnetlink {
  readonly links = new Map<number, string>();
  readonly addresses: { readonly index: number; readonly address: string }[] = [];
  /** Datagrams handed out, lists of addresses begun, sockets open. */
  readonly counts = { heard: 0, lists: 0, open: 0 };
  /** What the next list of addresses has on its parts. */
  listFlags = 0;
  #waiting: FakeAnswer[] = [];

  readonly open = (): RouteSockets => {
    const close = (): void => {
      this.counts.open -= 1;
    };
    this.counts.open += 2;
    const receive = (): Buffer | undefined => {
      const next = this.#waiting.shift();
      if (next === undefined) return undefined;
      if (next instanceof NetlinkError) throw next;
      this.counts.heard += 1;
      return next;
    };
    const notifications = { send: () => undefined, receive, close, port: 0 };
    return {
      notifications,
      dumps: { ...fakeSocket((messages) => messages.flatMap((message) => this.#answer(message))), close },
    };
  };

  link(index: number, name: string): void {
    this.links.set(index, name);
    this.#waiting.push(datagram(TYPE.NEWLINK, linkBody(index, name)));
  }

  unlink(index: number): void {
    this.links.delete(index);
    this.#waiting.push(datagram(TYPE.DELLINK, linkBody(index, '')));
  }

  /** A bridge loses a port: the link stays. */
  leavesBridge(index: number): void {
    this.#waiting.push(datagram(TYPE.DELLINK, linkBody(index, this.links.get(index) ?? '', 7)));
  }

  add(index: number, address: string): void {
    this.addresses.push({ index, address });
    this.#waiting.push(datagram(TYPE.NEWADDR, addressBody(index, address)));
  }

  remove(index: number, address: string): void {
    const at = this.addresses.findIndex((one) => one.index === index && one.address === address);
    if (at >= 0) this.addresses.splice(at, 1);
    this.#waiting.push(datagram(TYPE.DELADDR, addressBody(index, address)));
  }

  /** What waits is lost, as when it was more than the socket could keep. */
  overrun(): void {
    this.#waiting = [new NetlinkError(ERRNO.ENOBUFS, 'recv')];
  }

  break(): void {
    this.#waiting.push(new NetlinkError(ERRNO.EBADF, 'recv'));
  }

  #answer(message: Message): readonly FakeAnswer[] {
    if (message.type === TYPE.GETLINK) {
      const [index] = [...this.links].find(([, name]) => name === 'kube-ipvs0') ?? [];
      return index === undefined
        ? [refuse(message, ERRNO.ENODEV)]
        : [part(message, TYPE.NEWLINK, linkBody(index, 'kube-ipvs0')), ...acknowledge(message)];
    }
    if (message.type !== TYPE.GETADDR || (message.flags & FLAG.DUMP) === 0) return [refuse(message, ERRNO.EINVAL)];
    this.counts.lists += 1;
    const flags = this.listFlags;
    const parts = this.addresses
      .filter(({ address }) => FAMILY[familyOfAddress(address)] === message.body[0])
      .map(({ index, address }) => part(message, TYPE.NEWADDR, addressBody(index, address), flags));
    return [...parts, done(message)];
  }
}
