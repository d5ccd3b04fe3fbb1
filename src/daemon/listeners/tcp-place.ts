import { type Fd, internetNameOf, isErrno, type Kernel } from "../../sys/index.ts";
import type { Listeners } from "./listeners.ts";

/** A place of TCP; without a host, every address of the machine. */
export interface TcpPlace {
  readonly host: string;
  readonly port: number;
}

/** Reads `HOST:PORT`, `[HOST]:PORT` or `:PORT`; undefined for anything else. Source: Go's net.Listen. */
export function tcpPlaceOf(address: string): TcpPlace | undefined {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]/]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2] ?? "", port };
}

/**
 * A listening socket there, for its taker to close. Errors: those of Listeners.openTcp, and of looking a name up.
 * Shape: every address of the machine, of IPv6 too where there is any; of a name the first one, IPv4 before IPv6, as Go has it.
 */
export async function openTcpPlace(listeners: Listeners, name: string, { host, port }: TcpPlace): Promise<Fd> {
  if (host !== "") {
    if (internetNameOf(host, port) !== undefined) return listeners.openTcp(name, host, port);
    const { lookup } = await import("node:dns/promises");
    const found = await lookup(host, { all: true });
    const first = found.find(({ family }) => family === 4) ?? found[0];
    return listeners.openTcp(name, first?.address ?? host, port);
  }
  try {
    return listeners.openTcp(name, "::", port);
  } catch (error) {
    if (!isErrno(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) throw error;
    return listeners.openTcp(name, "0.0.0.0", port);
  }
}

/** Where a socket listens, for people. */
export function shownPlace(fd: Fd, kernel: Pick<Kernel, "listeningPath" | "listeningAddress">): string {
  const everywhere = /^\[(?:0:){7}0\]/;
  return kernel.listeningPath(fd) ?? kernel.listeningAddress(fd)?.replace(everywhere, "[::]") ?? "";
}
