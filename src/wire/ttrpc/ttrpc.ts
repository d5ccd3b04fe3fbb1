import type { Logger } from "../../lib/log.ts";
import type { CallTracer } from "../observer.ts";
import type { ServiceDefinition } from "../service.ts";

export interface TtrpcServerOptions {
  readonly services: readonly ServiceDefinition[];
  readonly log: Logger;
  /** Traces calls; a server without one pays for a comparison a call. */
  readonly tracer?: CallTracer | undefined;
}

export interface ListenOptions {
  /** The socket's permission bits; 0600 when left out. */
  readonly mode?: number | undefined;
  /** The namespace of callers who name none. */
  readonly namespace?: string | undefined;
}

/** Serves services over ttrpc on unix sockets. */
export interface TtrpcServer extends AsyncDisposable {
  /** How many callers are connected. */
  readonly connections: number;
  /**
   * Opens a socket. A stale socket file is the caller's to remove, who knows whether it is stale.
   * Errors: invalidArgument (a path too long for a socket), unavailable (in use, no permission).
   */
  listen(path: string, options?: ListenOptions): Promise<void>;
  /** Serves on a socket that listens already. The server owns the descriptor, and leaves the socket's file alone. */
  serve(fd: number): void;
  /** Refuses new connections, cancels calls under way, closes every connection, removes the socket files. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  readonly path: string;
  /** Gives up waiting for the connection; closes it when it fires later. */
  readonly signal?: AbortSignal | undefined;
}
