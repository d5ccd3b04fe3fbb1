import type { Endpoint } from "./bun-server.ts";
import { type BunSocket, BunTransport, type SocketData, socketEvents } from "./bun-transport.ts";
import { Connection, type ConnectionHandler } from "./connection.ts";
import type { ConnectionLimits } from "./limits.ts";

export interface Http2ClientOptions {
  readonly limits: ConnectionLimits;
  readonly onClosed: (error: Error | undefined) => void;
}

/** Connects as an HTTP/2 client. Errors: what connect gives (ENOENT, ECONNREFUSED and the like). */
export async function connectHttp2(endpoint: Endpoint, options: Http2ClientOptions): Promise<Connection> {
  const handler: ConnectionHandler = { onStream: () => undefined, onClosed: options.onClosed };
  const opened = Promise.withResolvers<Connection>();
  const socket = {
    ...socketEvents,
    open: (socket: BunSocket) => {
      const connection = new Connection({
        transport: new BunTransport(socket),
        isServer: false,
        limits: options.limits,
        handler,
      });
      socket.data = { connection };
      opened.resolve(connection);
    },
  };
  const data: SocketData = { connection: undefined };
  if ("path" in endpoint) await Bun.connect<SocketData>({ unix: endpoint.path, socket, data });
  else await Bun.connect<SocketData>({ hostname: endpoint.host, port: endpoint.port, socket, data });
  return opened.promise;
}
