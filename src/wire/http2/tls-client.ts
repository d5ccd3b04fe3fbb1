import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { SocketHandler } from "bun";
import { type BunSocket, type SocketData, socketEvents } from "./bun-transport.ts";
import type { TlsPeer } from "./tls.ts";

/** How a client speaks TLS. Shape: PEM; without a CA of its own it trusts those of the system. */
export interface ClientTls {
  readonly ca?: string | undefined;
  /** What it shows of itself, where the server asks. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** How long the server may take to show who it is. */
  readonly helloTimeoutMs: number;
}

/** What is given to the runtime. Source: RFC 7301, section 3.1; RFC 6066, section 3 (addresses are no server names). */
export function clientTlsOptions({ ca, cert, key }: ClientTls, host: string): Readonly<Record<string, unknown>> {
  const own = Object.fromEntries(Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined));
  const name = isIP(host) === 0 ? { serverName: host } : {};
  return { ...own, ...name, rejectUnauthorized: true, ALPNProtocols: "\x02h2" };
}

/** What a socket does until it is known who the server is: nothing is said to another one. */
export function clientTlsEvents(
  host: string,
  opened: (socket: BunSocket) => void,
  refused: (why: Error) => void,
): SocketHandler<SocketData> {
  return {
    ...socketEvents,
    open: () => {},
    handshake: (socket: BunSocket, success: boolean, error: Error | null) => {
      const why = strangeness(socket as unknown as TlsPeer, host, success, error);
      if (why === undefined) return opened(socket);
      refused(why);
      socket.terminate();
    },
    close: (socket: BunSocket, error?: Error) => {
      refused(error ?? new Error("the server hung up"));
      socketEvents.close(socket, error);
    },
    error: (socket: BunSocket, error: Error) => {
      refused(error);
      socketEvents.error(socket, error);
    },
  };
}

/** Why a server is not the one that was asked for; undefined where it is. */
function strangeness(peer: TlsPeer, host: string, success: boolean, error: Error | null): Error | undefined {
  if (!success || error !== null || !peer.authorized) {
    return error ?? new Error("the server has no certificate that is trusted");
  }
  if (peer.alpnProtocol !== "h2") return new Error("the server does not speak HTTP/2 over TLS");
  return checkServerIdentity(host, peer.getPeerCertificate() as PeerCertificate);
}
