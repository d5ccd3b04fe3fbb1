import type { DescService } from "@bufbuild/protobuf";
import { messageOf, quote, unavailable } from "../../lib/faults.ts";
import { connectGrpc } from "../../wire/grpc/index.ts";
import type { ClientConnection, ServiceClient } from "../../wire/service.ts";

/** A connection to another process that is made when it is first needed, and again after it was lost. */
export class LazyConnection implements AsyncDisposable {
  readonly #path: string;
  #connection: Promise<ClientConnection> | undefined;

  /** Shape: a unix socket's path, or `unix://` before it. */
  constructor(address: string) {
    this.#path = address.replace(/^unix:(\/\/)?/, "");
  }

  /** Errors: unavailable (nobody listens). */
  async client<S extends DescService>(desc: S): Promise<ServiceClient<S>> {
    this.#connection ??= this.#connect();
    return (await this.#connection).client(desc);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    // One that never came about needs no end.
    await (await connection?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }

  async #connect(): Promise<ClientConnection> {
    try {
      const connection = await connectGrpc({ path: this.#path });
      void connection.closed.then(() => {
        this.#connection = undefined;
      });
      return connection;
    } catch (error) {
      this.#connection = undefined;
      throw unavailable(`connect to the proxy plugin at ${quote(this.#path)}: ${messageOf(error)}`, { cause: error });
    }
  }
}
