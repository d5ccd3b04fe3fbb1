import { chmodSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { claimSocket, handOver, socketPath } from "./sockets.ts";

/** Where a page is served: a path, or HOST:PORT, as containerd takes them. */
export interface HttpPlace {
  readonly address: string;
  readonly uid: number;
  readonly gid: number;
  /** Where `:PORT` is: on every address of the machine, as Go has it; on the loopback one by itself. */
  readonly isOpen?: boolean;
}

/** Has a server listen there; a socket file is its owner's alone, and its group's. Errors: those of claimSocket, and of listening. */
export async function listenHttp(server: HttpServer, { address, uid, gid, isOpen = false }: HttpPlace): Promise<void> {
  const tcp = /^(?:tcp:\/\/)?([^/]*):(\d+)$/.exec(address);
  if (tcp !== null) {
    const host = (tcp[1] || (isOpen ? "" : "127.0.0.1")).replace(/^\[|\]$/g, "");
    await listening(server, () => (host === "" ? server.listen(Number(tcp[2])) : server.listen(Number(tcp[2]), host)));
    return;
  }
  const path = socketPath(address);
  await claimSocket(path);
  await listening(server, () => {
    // The socket exists from bind on; the mask keeps others out until chmod gave it its mode. Both are synchronous.
    const mask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
  });
  chmodSync(path, 0o660);
  await handOver(path, uid, gid);
}

function listening(server: HttpServer, begin: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.once("listening", () => resolve());
  begin();
  return promise.finally(() => server.off("error", reject));
}

/** Where it listens, for people. */
export function addressOf(server: HttpServer): string {
  const address = server.address() as AddressInfo | string | null;
  return typeof address === "string" ? address : `${address?.address}:${address?.port}`;
}

/** Hangs up on everybody and stops to listen. */
export function closeHttp(server: HttpServer): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
