import type { Host } from "../../../gen/lighter/shim/v1/host_pb.ts";
import type { ClientConnection, ServiceClient } from "../../../wire/service.ts";
import type { Shim, ShimConnection } from "../../shims/index.ts";

/** The version of lighter.shim.v1.Host that this daemon speaks. */
export const hostProtocol = 1;

/** A connection to the shared host, with what it serves beyond the Task API. */
export interface HostConnection extends ShimConnection {
  readonly host: ServiceClient<typeof Host>;
  /** Names this life of the host. */
  readonly instance: string;
  readonly pid: number;
  /** How many calls wait for a host that is silent. */
  readonly heldBack: number;
}

/** A host process that was just started. */
export interface LaunchedHost {
  readonly pid: number;
  /** Settles with a reason, for people, when the process ended. Never rejects. */
  readonly exited: Promise<string>;
}

/** How a host is reached and started; tests put a fake in its place. */
export interface HostLauncher {
  /** The OCI runtime that the host is told to use where a task names none. */
  readonly runtimeBinary?: string | undefined;
  /** A connection to the host that runs, or undefined when none answers. */
  connect(): Promise<ClientConnection | undefined>;
  /** Starts a host of its own session, which outlives this process. Errors: unavailable (it can't be started). */
  launch(): Promise<LaunchedHost>;
  /** The process that has the host's folder, for people; undefined when there is none, or it can't be told. */
  holder?(): number | undefined;
  /** Whether the last host was killed: it may have left events that only its successor brings, or a keeper. */
  hasLeftovers?(): boolean;
}

/** The one host of a daemon: started when needed, started again when it dies. */
export interface SharedHost extends Shim, AsyncDisposable {
  connection(): Promise<HostConnection>;
  /** A connection to a host that runs already; undefined when there is none. Starts nothing. */
  existing(): Promise<HostConnection | undefined>;
  /** The connection that there is just now. */
  readonly current: HostConnection | undefined;
  /** Starts the host without waiting for it, so that the first task finds it up. */
  prepare(): void;
  /** Says to a host that is there that a task is about to be created. Returns at once. */
  expect(): void;
  /** Starts a host, without waiting for it, when one that was killed left something and nobody else asks for another. */
  clearAway(): void;
}
