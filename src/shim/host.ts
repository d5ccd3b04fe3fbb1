import type { LogLevel } from "../lib/log.ts";

export interface HostOptions {
  /** The unix socket to serve on. */
  readonly socket: string;
  /** The host's own folder: locks, states, events, what runtimes keep. One host at a time uses it. */
  readonly state: string;
  /** Appended to; stderr when left out. */
  readonly logFile?: string | undefined;
  readonly logLevel: LogLevel;
  /** The runtime of tasks that name none; crun where it is in PATH, else runc, when left out. */
  readonly runtime?: string | undefined;
  /** The ttrpc socket of somebody else's containerd whose shim this host is: it takes the events. */
  readonly events?: string | undefined;
}

/** A running shim host. */
export interface ShimHost extends AsyncDisposable {
  /** Settles when somebody asked the host to end. */
  readonly ended: Promise<void>;
}
