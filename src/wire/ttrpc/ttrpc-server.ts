import { chmodSync, rmSync } from "node:fs";
import type { Socket, UnixSocketListener } from "bun";
import { invalidArgument, messageOf, quote, unavailable } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { CallTracer } from "../observer.ts";
import { MethodTable } from "./method-table.ts";
import { ServerConnection } from "./server-connection.ts";
import type { ListenOptions, TtrpcServer, TtrpcServerOptions } from "./ttrpc.ts";

/** The longest path of a unix socket. Source: unix(7), sun_path is 108 bytes with its NUL. */
export const maxSocketPathBytes = 107;

/** Makes a ttrpc server for these services; a service that is not among them answers Unimplemented. */
export function createTtrpcServer(options: TtrpcServerOptions): TtrpcServer {
  return new BunTtrpcServer(new MethodTable(options.services), options);
}

class BunTtrpcServer implements TtrpcServer {
  readonly #methods: MethodTable;
  readonly #log: Logger;
  readonly #tracer: CallTracer | undefined;
  readonly #listeners = new Map<string, UnixSocketListener<ServerConnection>>();
  readonly #adopted: UnixSocketListener<ServerConnection>[] = [];
  readonly #sockets = new Set<Socket<ServerConnection>>();

  constructor(methods: MethodTable, { log, tracer }: TtrpcServerOptions) {
    this.#methods = methods;
    this.#log = log;
    this.#tracer = tracer;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async listen(path: string, options: ListenOptions = {}): Promise<void> {
    if (Buffer.byteLength(path) > maxSocketPathBytes) {
      throw invalidArgument(`socket path ${quote(path)} is longer than ${maxSocketPathBytes} bytes`);
    }
    // The socket exists from bind on; the mask keeps others out until chmod gave it its mode. Both are synchronous.
    const mask = process.umask(0o177);
    try {
      this.#listeners.set(path, this.#open({ unix: path }, options.namespace));
      if (options.mode !== undefined) chmodSync(path, options.mode);
    } catch (error) {
      throw unavailable(`listen on ${quote(path)}: ${messageOf(error)}`, { cause: error });
    } finally {
      process.umask(mask);
    }
  }

  serve(fd: number): void {
    // `fd` is not in the published types.
    this.#adopted.push(this.#open({ fd } as unknown as { unix: string }, undefined));
  }

  async close(): Promise<void> {
    for (const listener of this.#adopted.splice(0)) listener.stop(true);
    for (const [path, listener] of this.#listeners) {
      listener.stop(true);
      rmSync(path, { force: true });
    }
    this.#listeners.clear();
    for (const socket of this.#sockets) socket.terminate();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #open(place: { readonly unix: string }, namespace: string | undefined): UnixSocketListener<ServerConnection> {
    return Bun.listen<ServerConnection>({
      ...place,
      socket: {
        open: (socket) => {
          const parts = { methods: this.#methods, log: this.#log, tracer: this.#tracer, namespace };
          socket.data = new ServerConnection(socket, parts);
          this.#sockets.add(socket);
        },
        data: (socket, chunk) => socket.data.data(chunk),
        drain: (socket) => socket.data.drain(),
        error: (_socket, error) => this.#log.debug("ttrpc connection failed", { error }),
        close: (socket) => {
          this.#sockets.delete(socket);
          socket.data.closed();
        },
      },
    });
  }
}
