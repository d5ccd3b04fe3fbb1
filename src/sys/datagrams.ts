import { check, lazyLibrary } from "./libc.ts";

/** Source: sys/socket.h, sys/un.h. */
const [unixFamily, datagram, closeOnExec] = [1, 2, 0o2000000];

const libc = lazyLibrary({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
});

/**
 * Sends one datagram to a unix socket; `@name` is one in the abstract namespace.
 * SAFETY: both buffers live through the call, the lengths are theirs. JUSTIFICATION: the runtime has no unix datagrams.
 * Effects: doesn't wait for a full receiver (MSG_DONTWAIT). Source: unix(7), sendto(2).
 */
export function sendDatagram(socketPath: string, bytes: Uint8Array): void {
  const path = new TextEncoder().encode(socketPath);
  if (socketPath.startsWith("@")) path[0] = 0;
  // A path ends with a NUL; an abstract name is as long as it is.
  const address = new Uint8Array(2 + path.length + (path[0] === 0 ? 0 : 1));
  new DataView(address.buffer).setUint16(0, unixFamily, true);
  address.set(path, 2);
  const [noSignal, dontWait] = [0x4000, 0x40];
  const fd = check("socket", () => libc().socket(unixFamily, datagram | closeOnExec, 0));
  try {
    check(
      "sendto",
      () => libc().sendto(fd, bytes, bytes.length, noSignal | dontWait, address, address.length),
      socketPath,
    );
  } finally {
    libc().close(fd);
  }
}
