import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import type { Fd } from "./files.ts";
import { internetAddress, internetName } from "./internet-address.ts";
import { check, checkNow, lazyLibrary } from "./libc.ts";
import { isErrno, SysError } from "./sys-error.ts";

/** A message with the descriptors that came along. */
export interface FdMessage {
  readonly bytes: Uint8Array;
  readonly fds: readonly Fd[];
}

/** The process at the other end of a unix socket, as it was when it connected. */
export interface PeerCredentials {
  /** 0 for one that this process's pid namespace does not know. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Unix sockets that carry descriptors, and sockets that listen; all non-blocking and close-on-exec. */
export interface SocketCalls {
  /** A listening stream socket at a path; `backlog` connections may wait for accept. Source: unix(7), bind(2), listen(2). */
  listenUnix(path: string, backlog?: number): Fd;
  /**
   * A listening TCP socket; `host` is an address in numbers. Source: tcp(7), bind(2), listen(2).
   * Errors: SysError EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT (no IPv6 here), EINVAL (no such address).
   */
  listenTcp(host: string, port: number, backlog: number): Fd;
  /** Where a TCP socket listens, in one form; undefined for every other descriptor. Source: getsockname(2), socket(7). */
  listeningAddress(fd: Fd): string | undefined;
  /** The path of a unix stream socket that listens; undefined for every other descriptor. Source: getsockname(2), socket(7). */
  listeningPath(fd: Fd): string | undefined;
  /** Takes a connection that waits; undefined when none does. Source: accept4(2). */
  accept(fd: Fd): Fd | undefined;
  /** Two connected sockets that keep message boundaries. Source: socketpair(2), SOCK_SEQPACKET. */
  socketPair(): [Fd, Fd];
  /**
   * Lets a socket's unread messages take that much memory. Answers what the kernel granted: without CAP_NET_ADMIN no
   * more than net.core.wmem_max. Source: socket(7), SO_SNDBUFFORCE.
   */
  setSendBuffer(fd: Fd, sizeBytes: number): number;
  /** Sends one message and copies of descriptors. Source: sendmsg(2), cmsg(3). Errors: SysError EAGAIN (the buffer is full). */
  sendFds(fd: Fd, bytes: Uint8Array, fds: readonly Fd[]): void;
  /**
   * Takes bytes that wait in a stream socket; undefined when none do, 0 at its end. Source: recv(2), MSG_DONTWAIT.
   * Effects: never blocks; for whoever asks often, since it makes no error of there being nothing.
   */
  receiveNow(fd: Fd, into: Uint8Array): number | undefined;
  /** Who is at the other end of a unix socket; undefined for one of another family. Source: unix(7), SO_PEERCRED. */
  peerOf(fd: Fd): PeerCredentials | undefined;
  /** Receives one message; undefined when none waits. `peek` leaves it there, with fresh descriptors. Source: recvmsg(2). */
  receiveFds(fd: Fd, options?: { readonly peek?: boolean }): FdMessage | undefined;
}

const libc = lazyLibrary({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  sendmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
});

const [unixFamily, stream, seqPacket] = [1, 1, 5];
const [nonBlocking, closeOnExec] = [0o4000, 0o2000000];
const [messagePeek, closeOnExecReceived, noSignal] = [0x2, 0x40000000, 0x4000];
const [socketLevel, scmRights] = [1, 1];
/** Source: asm-generic/socket.h. */
const [reuseAddress, socketType, sendBuffer, acceptsConnections, sendBufferForced] = [2, 3, 7, 30, 32];
const peerCredentials = 17;
const messageDontWait = 0x40;
const maxMessageBytes = 4096;
const maxFds = 16;

/** struct msghdr and cmsghdr on 64-bit Linux; the sizes are checked against a C program in sys.test.ts. */
export const messageLayout = {
  header: { size: 56, iov: 16, iovLength: 24, control: 32, controlLength: 40 },
  control: { size: 16, length: 0, level: 8, type: 12, data: 16 },
} as const;

/** Buffers of one sendmsg or recvmsg. SAFETY: `header` holds the others' addresses, so that they must live as long as it. */
function message(bytes: Uint8Array, control: Uint8Array): Uint8Array {
  const iov = new BigUint64Array([BigInt(ptr(bytes)), BigInt(bytes.length)]);
  const header = new Uint8Array(messageLayout.header.size);
  const view = new DataView(header.buffer);
  view.setBigUint64(messageLayout.header.iov, BigInt(ptr(iov)), true);
  view.setBigUint64(messageLayout.header.iovLength, 1n, true);
  if (control.length > 0) view.setBigUint64(messageLayout.header.control, BigInt(ptr(control)), true);
  view.setBigUint64(messageLayout.header.controlLength, BigInt(control.length), true);
  return Object.assign(header, { keepAlive: [bytes, control, iov] });
}

/** SAFETY: see message(). JUSTIFICATION: the runtime's sockets neither send nor receive descriptors. */
export const socketCalls: SocketCalls = {
  listenUnix: (path, backlog = 8) => {
    const name = Buffer.from(path);
    if (name.length > 107) throw new SysError("bind", 36, path);
    const address = new Uint8Array(110);
    address[0] = unixFamily;
    address.set(name, 2);
    return listening(address.subarray(0, 3 + name.length), backlog, path, () => {});
  },
  listenTcp: (host, port, backlog) => {
    const address = internetAddress(host, port);
    if (address === undefined) throw new SysError("bind", 22, `${host}:${port}`);
    return listening(address, backlog, `${host}:${port}`, (fd) => {
      // Connections of a daemon of before, which linger, are no reason to refuse its place.
      check("setsockopt", () => libc().setsockopt(fd, socketLevel, reuseAddress, new Int32Array([1]), 4));
    });
  },
  listeningAddress: (fd) => {
    const address = listeningName(fd);
    return address === undefined ? undefined : internetName(address);
  },
  listeningPath: (fd) => {
    const address = listeningName(fd) ?? new Uint8Array(2);
    const name = address.subarray(2);
    if (address[0] !== unixFamily || address[1] !== 0 || name.length === 0 || name[0] === 0) return undefined;
    const end = name.indexOf(0);
    return Buffer.from(end < 0 ? name : name.subarray(0, end)).toString();
  },
  accept: (fd) => {
    try {
      return check("accept4", () => libc().accept4(fd, null, null, nonBlocking | closeOnExec));
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      throw error;
    }
  },
  socketPair: () => {
    const fds = new Int32Array(2);
    check("socketpair", () => libc().socketpair(unixFamily, seqPacket | nonBlocking | closeOnExec, 0, fds));
    return [fds[0] as number, fds[1] as number];
  },
  setSendBuffer: (fd, sizeBytes) => {
    // The kernel doubles what it is given, for its own bookkeeping.
    const size = new Int32Array([sizeBytes >> 1]);
    try {
      check("setsockopt", () => libc().setsockopt(fd, socketLevel, sendBufferForced, size, 4));
    } catch (error) {
      if (!isErrno(error, "EPERM")) throw error;
      check("setsockopt", () => libc().setsockopt(fd, socketLevel, sendBuffer, size, 4));
    }
    return option(fd, sendBuffer);
  },
  sendFds: (fd, bytes, fds) => {
    const { size, length, level, type, data } = messageLayout.control;
    const control = new Uint8Array(fds.length === 0 ? 0 : size + align(4 * fds.length));
    if (fds.length > 0) {
      const view = new DataView(control.buffer);
      view.setBigUint64(length, BigInt(size + 4 * fds.length), true);
      view.setInt32(level, socketLevel, true);
      view.setInt32(type, scmRights, true);
      for (const [n, one] of fds.entries()) view.setInt32(data + 4 * n, one, true);
    }
    const header = message(bytes, control);
    check("sendmsg", () => libc().sendmsg(fd, header, noSignal));
  },
  peerOf: (fd) => {
    const [credentials, length] = [new Int32Array(3), new Uint32Array([12])];
    check("getsockopt", () => libc().getsockopt(fd, socketLevel, peerCredentials, credentials, length));
    const [pid = 0, uid = 0, gid = 0] = credentials;
    // What is no unix socket has nobody: the kernel says so by -1.
    return uid === -1 ? undefined : { pid, uid: uid >>> 0, gid: gid >>> 0 };
  },
  receiveNow: (fd, into) => checkNow("recv", () => libc().recv(fd, into, into.length, messageDontWait)),
  receiveFds: (fd, options = {}) => {
    const bytes = new Uint8Array(maxMessageBytes);
    const control = new Uint8Array(messageLayout.control.size + align(4 * maxFds));
    const header = message(bytes, control);
    const flags = closeOnExecReceived | (options.peek === true ? messagePeek : 0);
    let count: number;
    try {
      count = check("recvmsg", () => libc().recvmsg(fd, header, flags));
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      throw error;
    }
    const used = new DataView(header.buffer).getBigUint64(messageLayout.header.controlLength, true);
    return { bytes: bytes.slice(0, count), fds: fdsIn(control.subarray(0, Number(used))) };
  },
};

/** A stream socket that listens at an address of the kernel's form; `prepare` sets its options. */
function listening(address: Uint8Array, backlog: number, place: string, prepare: (fd: Fd) => void): Fd {
  const fd = check("socket", () => libc().socket(address[0] ?? 0, stream | nonBlocking | closeOnExec, 0));
  try {
    prepare(fd);
    check("bind", () => libc().bind(fd, address, address.length), place);
    check("listen", () => libc().listen(fd, backlog), place);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** The address of a stream socket that listens, as the kernel gives it; undefined for every other descriptor. */
function listeningName(fd: Fd): Uint8Array | undefined {
  try {
    if (option(fd, acceptsConnections) === 0 || option(fd, socketType) !== stream) return undefined;
  } catch (error) {
    if (isErrno(error, "ENOTSOCK", "EBADF")) return undefined;
    throw error;
  }
  const address = new Uint8Array(110);
  const length = new Uint32Array([address.length]);
  check("getsockname", () => libc().getsockname(fd, address, length));
  return address.subarray(0, length[0]);
}

/** A number that the socket layer keeps of a socket. */
function option(fd: Fd, name: number): number {
  const [value, length] = [new Int32Array(1), new Uint32Array([4])];
  check("getsockopt", () => libc().getsockopt(fd, socketLevel, name, value, length));
  return value[0] as number;
}

function fdsIn(control: Uint8Array): Fd[] {
  const { size, length, level, type, data } = messageLayout.control;
  if (control.length < size) return [];
  const view = new DataView(control.buffer, control.byteOffset);
  if (view.getInt32(level, true) !== socketLevel || view.getInt32(type, true) !== scmRights) return [];
  const count = Math.floor((Number(view.getBigUint64(length, true)) - size) / 4);
  return Array.from({ length: count }, (_, n) => view.getInt32(data + 4 * n, true));
}

const align = (size: number): number => (size + 7) & ~7;
