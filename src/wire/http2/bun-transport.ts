import type { Socket } from "bun";
import type { Connection } from "./connection.ts";
import type { Transport } from "./transport.ts";

/** What hangs on each socket. */
export interface SocketData {
  connection: Connection | undefined;
  /** Our side has ended, and the peer is given a moment to end its own. */
  ending?: boolean;
}

export type BunSocket = Socket<SocketData>;

const lingerSeconds = 5;

/** A Bun socket as a connection sees it. */
export class BunTransport implements Transport {
  readonly #socket: BunSocket;

  constructor(socket: BunSocket) {
    this.#socket = socket;
  }

  get fd(): number | undefined {
    // `fd` is not in the published types; it is -1 once the socket is closed.
    const { fd } = this.#socket as unknown as { readonly fd?: number };
    return fd === undefined || fd < 0 ? undefined : fd;
  }

  write(bytes: Uint8Array): number {
    return this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.data.ending = true;
    // Not end(), which closes: what the peer sent meanwhile would lie unread, and with it the peer loses what it has not read yet.
    this.#socket.shutdown();
    // A peer that never closes its own side is not waited for.
    this.#socket.timeout(lingerSeconds);
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/** One that speaks TLS: what its descriptor has to read says nothing to anybody else. */
export class TlsTransport extends BunTransport {
  override get fd(): undefined {
    return undefined;
  }
}

/** What every socket does with its events, server and client alike. */
export const socketEvents: {
  readonly binaryType: "buffer";
  data(socket: BunSocket, chunk: Buffer): void;
  drain(socket: BunSocket): void;
  end(socket: BunSocket): void;
  timeout(socket: BunSocket): void;
  close(socket: BunSocket, error?: Error): void;
  error(socket: BunSocket, error: Error): void;
} = {
  binaryType: "buffer",
  data: (socket, chunk) => {
    const { connection } = socket.data;
    connection?.lookout?.heard(connection);
    if (connection?.receive(chunk) === true) release(chunk);
  },
  drain: (socket) => socket.data.connection?.drained(),
  end: (socket) => {
    // Nobody reads what we would still send.
    socket.data.connection?.disconnected(undefined);
    socket.end();
  },
  timeout: (socket) => {
    // Bun 1.4 also fires this 120 seconds after it accepted a socket, however much goes through it.
    if (socket.data.ending === true) socket.terminate();
  },
  close: (socket, error) => socket.data.connection?.disconnected(error),
  error: (socket, error) => socket.data.connection?.disconnected(error),
};

/** Smaller chunks are not worth the call. */
const releasedBytes = 16 * 1024;

/**
 * Gives a chunk's memory back at once. The garbage collector does not see how much memory hangs from so small an object: in a
 * fast stream hundreds of megabytes gather before it looks.
 */
function release(chunk: Buffer): void {
  const { buffer, byteLength } = chunk;
  if (byteLength < releasedBytes || byteLength !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
