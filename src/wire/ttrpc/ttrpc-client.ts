import type { DescService } from "@bufbuild/protobuf";
import type { Socket } from "bun";
import { abortFault } from "../../lib/ctx.ts";
import { messageOf, quote, unavailable } from "../../lib/faults.ts";
import type { CallOptions, ClientConnection, ServiceClient } from "../service.ts";
import { ClientCalls } from "./client-calls.ts";
import type { ConnectOptions } from "./ttrpc.ts";

/**
 * Connects to a ttrpc server.
 * Shape: ttrpc has no word for "cancel": a call that is given up locally runs on at the server until its deadline or
 * until the connection closes, so a long stream deserves a connection of its own.
 * Errors: unavailable (nobody listens there), canceled.
 */
export async function connectTtrpc(options: ConnectOptions): Promise<ClientConnection> {
  if (options.signal?.aborted) throw abortFault(options.signal);
  const connection = new BunTtrpcConnection();
  try {
    await connection.open(options.path);
  } catch (error) {
    throw unavailable(`connect to ${quote(options.path)}: ${messageOf(error)}`, { cause: error });
  }
  const close = (): void => connection.end();
  options.signal?.addEventListener("abort", close, { once: true });
  void connection.closed.then(() => options.signal?.removeEventListener("abort", close));
  if (options.signal?.aborted) {
    connection.end();
    throw abortFault(options.signal);
  }
  return connection;
}

class BunTtrpcConnection implements ClientConnection {
  readonly closed: Promise<Error | undefined>;
  readonly #settle: (error: Error | undefined) => void;
  #socket: Socket<undefined> | undefined;
  #calls: ClientCalls | undefined;
  #error: Error | undefined;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.closed = promise;
    this.#settle = resolve;
  }

  async open(path: string): Promise<void> {
    await Bun.connect<undefined>({
      unix: path,
      data: undefined,
      socket: {
        open: (socket) => {
          this.#socket = socket;
          this.#calls = new ClientCalls(socket);
        },
        data: (_socket, chunk) => this.#calls?.data(chunk),
        drain: () => this.#calls?.drain(),
        error: (_socket, error) => {
          this.#error = error;
        },
        end: (socket) => {
          socket.end();
        },
        close: () => {
          this.#calls?.closed(this.#error);
          this.#settle(this.#error);
        },
      },
    });
  }

  client<S extends DescService>(desc: S, defaults: CallOptions = {}): ServiceClient<S> {
    const calls = this.#calls;
    if (calls === undefined) throw unavailable("ttrpc: not connected");
    const methods: Record<string, unknown> = {};
    for (const method of desc.methods) methods[method.localName] = calls.method(method, defaults);
    return methods as ServiceClient<S>;
  }

  end(): void {
    this.#socket?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await this.closed;
  }
}
