import type { Any, Timestamp } from "@bufbuild/protobuf/wkt";
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
  /** Where calls are to go through, so that a shim that does not answer is noticed. Undefined: nowhere. */
  readonly watch?: CallGate;
}

/** Keeps calls back from who does not answer. */
export interface CallGate {
  /** Makes a call; `timeoutMs` is its own limit, 0 for none. Errors: the call's; unavailable, deadlineExceeded. */
  run<T>(call: () => Promise<T>, timeoutMs?: number): Promise<T>;
}

/** Where a shim takes calls, in containerd's words. */
export interface ShimEndpoint {
  /** `ttrpc+unix:///path` or `grpc+unix:///path`. */
  readonly address: string;
  /** The version of the Task API: 2 or 3. */
  readonly version: number;
}

/** How what a shim ran ended, where the shim died first. */
export interface ShimEnd {
  readonly pid: number;
  readonly exitStatus: number;
  readonly exitedAt: Timestamp;
}

/** Whatever serves a task: the shared host, or a shim process of somebody else's. */
export interface Shim {
  /**
   * The live connection; another one, to the process that took over, when the last is gone.
   * Errors: unavailable (nobody answers, in bounded time), notFound (it died, and nobody takes over: see `own`).
   */
  connection(): Promise<ShimConnection>;
  /** What only a shim has that was started for one task or sandbox. */
  readonly own?: OwnShim | undefined;
}

/** A shim whose process belongs to one bundle, or to a group of them. It starts with its first `connection()`, in the bundle. */
export interface OwnShim {
  /** Where it takes calls; undefined before it was started. */
  readonly endpoint: ShimEndpoint | undefined;
  /** Settles when it died by itself and what it left was cleaned up; never after `release`. */
  readonly ended: Promise<ShimEnd>;
  /** Lets go of the shim after its last call: it is told to shut down, and its own `delete` cleans up. Never rejects. */
  release(): Promise<void>;
}

/** What is to be run, and by whom. */
export interface ShimRequest {
  /** A runtime's name (`io.containerd.runc.v2`) or the absolute path of a shim. */
  readonly runtime: string;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly options: Any | undefined;
  /** The sandbox in whose shim it runs; empty without. */
  readonly sandboxId?: string | undefined;
  /** Where the sandbox takes the calls of its tasks, when the caller says so. */
  readonly taskApi?: ShimEndpoint | undefined;
  /** The bundle is of the daemon's last life, and says itself whose it is. */
  readonly isFound?: boolean | undefined;
}

/** Finds the shim for a new task or sandbox, or for one of the daemon's last life by its bundle. */
export interface RuntimeResolver {
  /** Errors: unknown, with containerd's texts (no such runtime). */
  resolve(request: ShimRequest): Promise<Shim>;
}
