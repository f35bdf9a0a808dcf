/**
 * AF_NETLINK sockets: the system calls that Node.js lacks, by koffi (netlink(7)).
 *
 * The kernel does the work of most families inside send(2), and its answers are queued when send(2) returns, so sending
 * and receiving are synchronous calls. The interface has few functions, so that tests replace the kernel.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { readU32, writeU16, writeU32 } from './bytes.ts';
import { NetlinkError } from './error.ts';

export interface Socket {
  /** Sends one datagram. Throws NetlinkError, EBADF once the socket is closed. */
  send(datagram: Buffer): void;
  /**
   * Receives the next datagram; undefined when none comes within `timeoutMs`. Valid until the next call. Throws
   * NetlinkError, EBADF once the socket is closed.
   */
  receive(timeoutMs: number): Buffer | undefined;
  close(): void;
  /** Port id of this socket: notifications that it causes carry it. */
  readonly port: number;
}

/** Notifications that a socket receives besides answers. */
export interface Subscription {
  /** Multicast groups of the protocol, by number. */
  readonly group: number | readonly number[];
  /** Port id of a socket whose notifications are filtered out, so that the kernel does not queue them. */
  readonly ignoredPort?: number;
}

export const PROTOCOL = { ROUTE: 0, NETFILTER: 12, GENERIC: 16 } as const;
export type NetlinkProtocol = (typeof PROTOCOL)[keyof typeof PROTOCOL];

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_FILTER = 26;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const MSG_TRUNC = 0x20;
const POLLIN = 1;
/** Parts of a dump have at most 32 KiB; an error may return a whole message of 64 KiB. */
const RECEIVE_BYTES = 1 << 18;
const BUFFER_BYTES = 1 << 23;

interface System {
  readonly socket: (domain: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Buffer, length: number) => number;
  readonly getsockname: (fd: number, address: Buffer, length: Buffer) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: Buffer, length: number) => number;
  readonly send: (fd: number, data: Buffer, length: number, flags: number) => number;
  readonly recv: (fd: number, data: Buffer, length: number, flags: number) => number;
  readonly poll: (fds: Buffer, count: number, timeoutMs: number) => number;
  readonly close: (fd: number) => number;
  readonly errno: () => number;
  /** Memory address of a buffer. */
  readonly addressOf: (buffer: Buffer) => bigint;
}

/** ssize_t is declared as `long`, as koffi does not know it. */
const loadSystem = (): System => {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const libc = koffi.load(null);
  return {
    socket: libc.func('int socket(int, int, int)'),
    bind: libc.func('int bind(int, const void *, uint)'),
    getsockname: libc.func('int getsockname(int, void *, void *)'),
    setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint)'),
    send: libc.func('long send(int, const void *, size_t, int)'),
    recv: libc.func('long recv(int, void *, size_t, int)'),
    poll: libc.func('int poll(void *, ulong, int)'),
    close: libc.func('int close(int)'),
    errno: () => koffi.errno(),
    addressOf: (buffer) => koffi.address(buffer),
  } as System;
};

/** Repeats a system call that a signal interrupted (EINTR). */
const untilDone = (system: System, call: () => number): number => {
  for (;;) {
    const result = call();
    if (result >= 0 || system.errno() !== constants.errno.EINTR) return result;
  }
};

const int32 = (value: number): Buffer => Buffer.from(Int32Array.of(value).buffer);

/** Error of a closed socket. */
export const closed = (): NetlinkError => new NetlinkError(constants.errno.EBADF, 'the socket is closed');

/** Opens a socket in the network namespace of this process. Throws NetlinkError. */
export const openSocket = (protocol: NetlinkProtocol, subscription?: Subscription): Socket => {
  const system = loadSystem();
  const failed = (what: string): NetlinkError => new NetlinkError(system.errno(), what);
  const fd = system.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) throw failed('socket');
  const must = (result: number, what: string): void => {
    if (result >= 0) return;
    const error = failed(what);
    system.close(fd);
    throw error;
  };
  must(system.bind(fd, netlinkAddress(), ADDRESS_BYTES), 'bind');
  // optional: older kernels give no error messages or smaller buffers
  for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK]) system.setsockopt(fd, SOL_NETLINK, option, int32(1), 4);
  for (const option of [SO_SNDBUFFORCE, SO_RCVBUFFORCE])
    system.setsockopt(fd, SOL_SOCKET, option, int32(BUFFER_BYTES), 4);
  if (subscription !== undefined) {
    if (subscription.ignoredPort !== undefined) must(attachFilter(system, fd, subscription.ignoredPort), 'filter');
    for (const group of [subscription.group].flat())
      must(system.setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int32(group), 4), 'group');
  }
  const bound = netlinkAddress();
  must(system.getsockname(fd, bound, int32(ADDRESS_BYTES)), 'getsockname');
  return overDescriptor(system, fd, readU32(bound, PORT_OFFSET), failed);
};

/** sockaddr_nl: family, padding, port, groups. The kernel chooses the port. */
const ADDRESS_BYTES = 12;
const PORT_OFFSET = 4;

const netlinkAddress = (): Buffer => {
  const address = Buffer.alloc(ADDRESS_BYTES);
  Buffer.from(Uint16Array.of(AF_NETLINK).buffer).copy(address);
  return address;
};

/** Offset of the causing socket's port id in a message header. */
const CAUSE_OFFSET = 12;
const BPF = { LOAD_WORD: 0x20, JUMP_IF_EQUAL: 0x15, RETURN: 0x06 } as const;

/** One instruction of a classic BPF filter (linux/filter.h): code, two jumps, an operand. */
const instruction = (code: number, ifTrue: number, ifFalse: number, operand: number): Buffer => {
  const bytes = Buffer.alloc(8);
  writeU16(bytes, code, 0);
  bytes[2] = ifTrue;
  bytes[3] = ifFalse;
  writeU32(bytes, operand, 4);
  return bytes;
};

/**
 * Attaches a BPF filter that drops messages with this port id. BPF loads words in network byte order, and the header is
 * in host byte order.
 */
const attachFilter = (system: System, fd: number, ignoredPort: number): number => {
  const program = Buffer.concat([
    instruction(BPF.LOAD_WORD, 0, 0, CAUSE_OFFSET),
    instruction(BPF.JUMP_IF_EQUAL, 0, 1, int32(ignoredPort).readUInt32BE(0)),
    instruction(BPF.RETURN, 0, 0, 0),
    instruction(BPF.RETURN, 0, 0, 0xffffffff),
  ]);
  // struct sock_fprog: instruction count, padding, address
  const where = Buffer.alloc(16);
  writeU16(where, program.length / 8, 0);
  Buffer.from(BigUint64Array.of(system.addressOf(program)).buffer).copy(where, 8);
  return system.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, where, where.length);
};

const overDescriptor = (system: System, fd: number, port: number, failed: (what: string) => NetlinkError): Socket => {
  const buffer = Buffer.alloc(RECEIVE_BYTES);
  const poll = Buffer.alloc(8);
  Buffer.from(Int32Array.of(fd).buffer).copy(poll);
  Buffer.from(Uint16Array.of(POLLIN).buffer).copy(poll, 4);
  let isOpen = true;
  // the file descriptor may be reused after close
  const mustBeOpen = (): void => {
    if (!isOpen) throw closed();
  };
  return {
    port,
    send: (datagram) => {
      mustBeOpen();
      if (untilDone(system, () => system.send(fd, datagram, datagram.length, 0)) < 0) throw failed('send');
    },
    receive: (timeoutMs) => {
      mustBeOpen();
      for (let isLast = false; ; isLast = true) {
        const length = untilDone(system, () => system.recv(fd, buffer, buffer.length, MSG_TRUNC));
        if (length > buffer.length) throw new NetlinkError(constants.errno.EMSGSIZE, `a datagram of ${length} bytes`);
        if (length >= 0) return buffer.subarray(0, length);
        if (system.errno() !== constants.errno.EAGAIN) throw failed('recv');
        if (isLast || untilDone(system, () => system.poll(poll, 1, timeoutMs)) === 0) return undefined;
      }
    },
    close: () => {
      if (isOpen) system.close(fd);
      isOpen = false;
    },
  };
};
