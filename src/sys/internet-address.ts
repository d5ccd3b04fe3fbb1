/** Source: bits/socket.h, PF_INET and PF_INET6. */
export const internetFamilies = { v4: 2, v6: 10 } as const;

/**
 * An address of TCP as the kernel takes it; undefined where the host is not written in numbers.
 * Shape: struct sockaddr_in (16 bytes) and sockaddr_in6 (28 bytes), whose port and address are in network order.
 * Source: ip(7), ipv6(7).
 */
export function internetAddress(host: string, port: number): Uint8Array | undefined {
  if (isV4(host)) return sockaddr(internetFamilies.v4, 16, port, 4, host.split(".").map(Number));
  if (!isV6(host)) return undefined;
  return sockaddr(internetFamilies.v6, 28, port, 8, ipv6Bytes(host));
}

/** The address as people write it, always in the same way; undefined for what is none. */
export function internetName(address: Uint8Array): string | undefined {
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  const family = address.length < 8 ? 0 : view.getUint16(0, true);
  const port = family === 0 ? 0 : view.getUint16(2);
  if (family === internetFamilies.v4) return `${address.slice(4, 8).join(".")}:${port}`;
  if (family !== internetFamilies.v6 || address.length < 24) return undefined;
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index).toString(16));
  return `[${groups.join(":")}]:${port}`;
}

/** What `internetName` says of that place; undefined where the host is not written in numbers. */
export function internetNameOf(host: string, port: number): string | undefined {
  const address = internetAddress(host, port);
  return address === undefined ? undefined : internetName(address);
}

const v4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;

function isV4(host: string): boolean {
  return v4.test(host) && !/(?:^|\.)0\d/.test(host);
}

/** By the URL's own grammar: the runtime's module that knows addresses brings all of its sockets and streams with it. */
function isV6(host: string): boolean {
  return /^[\da-f:.]+$/i.test(host) && URL.canParse(`http://[${host}]`);
}

function sockaddr(family: number, size: number, port: number, at: number, host: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  bytes.set(host, at);
  return bytes;
}

/** Source: RFC 4291, section 2.2: groups, `::` for as many of zeros as are missing, and an IPv4 address at the end. */
function ipv6Bytes(host: string): number[] {
  const groups = (part: string): number[] =>
    part === ""
      ? []
      : part.split(":").flatMap((group) => {
          if (group.includes(".")) return group.split(".").map(Number);
          const value = Number.parseInt(group, 16);
          return [value >> 8, value & 0xff];
        });
  const [head = "", tail] = host.split("::");
  const [before, after] = [groups(head), tail === undefined ? [] : groups(tail)];
  return [...before, ...Array.from({ length: 16 - before.length - after.length }, () => 0), ...after];
}
