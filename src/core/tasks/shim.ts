import type { Any } from "@bufbuild/protobuf/wkt";
import type { Task as TaskApi } from "../../gen/containerd/task/v3/shim_pb.ts";
import type { ClientConnection, ServiceClient } from "../../wire/service.ts";

/** One live connection to a process that serves containerd's shim Task API. */
export interface ShimConnection extends AsyncDisposable {
  readonly task: ServiceClient<typeof TaskApi>;
  /** What else it serves: the Sandbox API, for one. */
  readonly client: ClientConnection["client"];
  /** True once the connection is gone; calls then fail with unavailable. */
  readonly lost: boolean;
  /** Settles when the connection is gone. Never rejects. */
  readonly closed: Promise<void>;
}

/** Whatever serves a task: the shared host, or a shim process of somebody else's. */
export interface Shim {
  /**
   * The live connection; another one, to the process that took over, when the last is gone.
   * Errors: unavailable (nobody answers, in bounded time).
   */
  connection(): Promise<ShimConnection>;
}

/** What is to be run, and by whom. */
export interface ShimRequest {
  /** A runtime's name (`io.containerd.runc.v2`) or the absolute path of a shim. */
  readonly runtime: string;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly options: Any | undefined;
}

/** Finds the shim for a new task: the place where shims of other people join. */
export interface RuntimeResolver {
  /** Errors: unknown, with containerd's texts (no such runtime); notImplemented (a shim that can't be run yet). */
  resolve(request: ShimRequest): Promise<Shim>;
}
