import { CallTimer } from "../call-timer.ts";
import type { Endpoint } from "./bun-server.ts";
import { type BunSocket, BunTransport, type SocketData, socketEvents, TlsTransport } from "./bun-transport.ts";
import { Connection, type ConnectionHandler } from "./connection.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { ClientTls } from "./tls-client.ts";

export interface Http2ClientOptions {
  readonly limits: ConnectionLimits;
  readonly onClosed: (error: Error | undefined) => void;
  /** Over TCP alone. */
  readonly tls?: ClientTls | undefined;
}

/**
 * Connects as an HTTP/2 client. Errors: what connect gives (ENOENT, ECONNREFUSED and the like); over TLS, why the server is
 * not the one that was asked for.
 */
export async function connectHttp2(endpoint: Endpoint, options: Http2ClientOptions): Promise<Connection> {
  const connected = Promise.withResolvers<Connection>();
  const open = (socket: BunSocket, transport: BunTransport): void => {
    const handler: ConnectionHandler = { onStream: () => undefined, onClosed: options.onClosed };
    const connection = new Connection({ transport, isServer: false, limits: options.limits, handler });
    socket.data = { connection };
    connected.resolve(connection);
  };
  const data: SocketData = { connection: undefined };
  if ("path" in endpoint || options.tls === undefined) {
    const socket = { ...socketEvents, open: (one: BunSocket) => open(one, new BunTransport(one)) };
    if ("path" in endpoint) await Bun.connect<SocketData>({ unix: endpoint.path, socket, data });
    else await Bun.connect<SocketData>({ hostname: endpoint.host, port: endpoint.port, socket, data });
    return connected.promise;
  }
  // Hardly anybody speaks TLS as a client.
  const { clientTlsEvents, clientTlsOptions } = await import("./tls-client.ts");
  const { host: hostname, port } = endpoint;
  const socket = clientTlsEvents(hostname, (one) => open(one, new TlsTransport(one)), connected.reject);
  const tls = clientTlsOptions(options.tls, hostname);
  connected.promise.catch(() => {}); // a socket that fails at once tells both of us
  const opened = await Bun.connect<SocketData>({ hostname, port, socket, data, tls });
  using _late = new CallTimer(options.tls.helloTimeoutMs, () => {
    connected.reject(new Error("the server did not show in time who it is"));
    opened.terminate();
  });
  return await connected.promise;
}
