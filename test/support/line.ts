import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import type { Daemon } from "./daemon.ts";

/** A connection to a daemon that may be started anew meanwhile. */
export interface Line extends AsyncDisposable {
  /** The newest one. */
  readonly connection: ClientConnection;
  /** Connects again, after a restart. */
  reconnect(): Promise<void>;
}

/** Connects to a daemon. */
export async function connectLine({ address }: Pick<Daemon, "address">): Promise<Line> {
  let connection = await connectGrpc({ path: address });
  return {
    get connection() {
      return connection;
    },
    reconnect: async () => {
      await connection[Symbol.asyncDispose]();
      connection = await connectGrpc({ path: address });
    },
    [Symbol.asyncDispose]: async () => {
      await connection[Symbol.asyncDispose]();
    },
  };
}
