import { chmodSync } from "node:fs";
import type { SocketHandler, SocketListener } from "bun";
import { type BunSocket, BunTransport, type SocketData, socketEvents, TlsTransport } from "./bun-transport.ts";
import { Connection, type ConnectionHandler } from "./connection.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { Lookout } from "./lookout.ts";
import { judge, type ServerTls, type TlsPeer, tlsOptions } from "./tls.ts";

/** Where a server listens or a client connects. */
export type Endpoint =
  | { readonly path: string; readonly mode?: number | undefined }
  | { readonly host: string; readonly port: number };

/** A socket that listens already. The server owns the descriptor, and leaves a socket's file alone. */
export interface ListeningSocket {
  readonly fd: number;
  /** Speaks TLS there; a socket may be served twice, by other certificates, until one is disposed of. */
  readonly tls?: ServerTls | undefined;
}

export interface Http2ServerOptions {
  readonly limits: ConnectionLimits;
  /** A TCP connection that says nothing for so long is pinged; without an answer in another 20 s it is closed. */
  readonly keepaliveMs: number;
  readonly lookout?: Lookout | undefined;
  /** Makes the handler of each new connection. */
  readonly accept: () => ConnectionHandler;
}

/** Serves HTTP/2 with prior knowledge on any number of sockets. */
export interface Http2Server {
  /** Errors: what listen gives (EADDRINUSE and the like). Returns the port, 0 for a path. */
  listen(endpoint: Endpoint | ListeningSocket): Promise<number>;
  readonly connections: ReadonlySet<Connection>;
  /** How many have come over TLS and not shown yet who they are. */
  readonly strangers: number;
  /** As `listen`; disposing ends it for those who have not come yet. */
  serve(socket: ListeningSocket): Disposable;
  /** Takes no more connections, and no more streams on those it has, nor on those that come of who is on the way. */
  drain(): void;
  /** Stops listening, lets calls end for so long, then hangs up. */
  close(graceMs: number): Promise<void>;
}

const keepaliveTimeoutMs = 20_000;
/** How long a connection may take to say who it is. */
const helloTimeoutMs = 20_000;
const sweepMs = 5000;
/** How many may be on the way to showing who they are. */
const maxStrangers = 256;

export function createHttp2Server(options: Http2ServerOptions): Http2Server {
  return new BunHttp2Server(options);
}

class BunHttp2Server implements Http2Server {
  readonly connections: Set<Connection> = new Set();
  readonly #options: Http2ServerOptions;
  readonly #listeners = new Set<SocketListener<SocketData>>();
  /** Who has come over TLS and not shown a certificate yet, and since when. */
  readonly #strangers = new Map<BunSocket, number>();
  readonly #pingedAt = new Map<Connection, number>();
  #sweeper: ReturnType<typeof setInterval> | undefined;
  #emptied: (() => void) | undefined;
  #draining = false;

  constructor(options: Http2ServerOptions) {
    this.#options = options;
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  async listen(endpoint: Endpoint | ListeningSocket): Promise<number> {
    const listener = this.#open(endpoint);
    if ("path" in endpoint) chmodSync(endpoint.path, endpoint.mode ?? 0o660);
    return "host" in endpoint ? (listener as unknown as { readonly port: number }).port : 0;
  }

  serve(socket: ListeningSocket): Disposable {
    const listener = this.#open(socket);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        listener.stop(false);
      },
    };
  }

  #open(endpoint: Endpoint | ListeningSocket): SocketListener<SocketData> {
    const tls = "tls" in endpoint ? endpoint.tls : undefined;
    const socket = { ...socketEvents, ...this.#greeting(tls) };
    const place = placeOf(endpoint);
    const listener = Bun.listen<SocketData>({ ...place, socket, data: { connection: undefined } });
    this.#listeners.add(listener as SocketListener<SocketData>);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
    return listener as SocketListener<SocketData>;
  }

  /** Who comes over TLS has no connection before it is known who that is: nothing of theirs is looked at. */
  #greeting(tls: ServerTls | undefined): Pick<SocketHandler<SocketData>, "open" | "handshake" | "close"> {
    if (tls === undefined) return { open: (opened: BunSocket) => this.#accept(opened, new BunTransport(opened)) };
    return {
      open: (opened: BunSocket) => {
        opened.data = { connection: undefined };
        if (this.#strangers.size >= maxStrangers) opened.terminate();
        else this.#strangers.set(opened, performance.now());
      },
      handshake: (opened: BunSocket, success: boolean, error: Error | null) => {
        // One that was too much, or too slow, is gone already.
        if (!this.#strangers.delete(opened)) return;
        if (judge(opened as unknown as TlsPeer, tls, success, error)) this.#accept(opened, new TlsTransport(opened));
        else opened.terminate();
      },
      close: (closed: BunSocket, error?: Error) => {
        this.#strangers.delete(closed);
        socketEvents.close(closed, error);
      },
    };
  }

  drain(): void {
    this.#draining = true;
    for (const listener of this.#listeners) listener.stop(false);
    this.#listeners.clear();
    for (const connection of this.connections) connection.drain();
  }

  async close(graceMs: number): Promise<void> {
    this.drain();
    if (this.connections.size > 0 && graceMs > 0) await this.#empty(graceMs);
    for (const stranger of this.#strangers.keys()) stranger.terminate();
    this.#strangers.clear();
    for (const connection of this.connections) connection.terminate();
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #accept(socket: BunSocket, transport: BunTransport): void {
    const handler = this.#options.accept();
    const connection: Connection = new Connection({
      transport,
      isServer: true,
      limits: this.#options.limits,
      lookout: transport.fd === undefined ? undefined : this.#options.lookout,
      handler: {
        onStream: (stream, block, end) => handler.onStream(stream, block, end),
        onClosed: (error) => {
          this.connections.delete(connection);
          this.#pingedAt.delete(connection);
          if (this.connections.size === 0) this.#emptied?.();
          handler.onClosed(error);
        },
      },
    });
    socket.data = { connection };
    this.connections.add(connection);
    // Told to come again, to whoever serves then.
    if (this.#draining) connection.drain();
  }

  #empty(graceMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, graceMs);
    this.#emptied = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }

  /** Closes connections that never said who they are or no longer answer, and pings silent ones. */
  #sweep(): void {
    const now = performance.now();
    for (const [stranger, since] of this.#strangers) {
      if (now - since <= helloTimeoutMs) continue;
      this.#strangers.delete(stranger);
      stranger.terminate();
    }
    for (const connection of this.connections) {
      const silentMs = now - connection.heardAt;
      if (silentMs > sweepMs) connection.sender.out.shrink();
      const pingedAt = this.#pingedAt.get(connection);
      if (pingedAt !== undefined && connection.heardAt > pingedAt) this.#pingedAt.delete(connection);
      if (!connection.established && silentMs > helloTimeoutMs) {
        connection.terminate(new Error("the client said nothing"));
      } else if (pingedAt !== undefined && now - pingedAt > keepaliveTimeoutMs && connection.heardAt <= pingedAt) {
        connection.terminate(new Error("the client no longer answers"));
      } else if (pingedAt === undefined && silentMs > this.#options.keepaliveMs) {
        this.#pingedAt.set(connection, now);
        connection.ping();
      }
    }
  }
}

/** As the runtime takes it: of its published types, which don't know `fd`, this is the narrowest. */
function placeOf(endpoint: Endpoint | ListeningSocket): { readonly unix: string } {
  if ("path" in endpoint) return { unix: endpoint.path };
  if ("host" in endpoint)
    return { hostname: endpoint.host, port: endpoint.port } as unknown as { readonly unix: string };
  const tls = endpoint.tls === undefined ? {} : { tls: tlsOptions(endpoint.tls) };
  return { fd: endpoint.fd, ...tls } as unknown as { readonly unix: string };
}
