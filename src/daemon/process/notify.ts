import type { Logger } from "../../lib/log.ts";
import { monotonicMicroseconds, sendDatagram } from "../../sys/index.ts";

/** What a service manager gave to its service. Source: sd_notify(3), sd_watchdog_enabled(3). */
export interface ManagerFacts {
  /** NOTIFY_SOCKET: a path, or `@name` in the abstract namespace. Undefined where nobody wants to know. */
  readonly socket: string | undefined;
  /** How long the service may say nothing before it is taken for hung; undefined where nobody looks. */
  readonly watchdogMs: number | undefined;
}

/** Tells the service manager how the daemon fares; does nothing where there is none. Source: sd_notify(3). */
export interface ServiceManager {
  /** Where there is a manager, it looks after the main process, and starts another when that one ends. */
  readonly isThere: boolean;
  /** `status` is a line for people, which `systemctl status` shows. */
  ready(status: string): void;
  /** The configuration is being read again, or a successor is being started. `ready` ends it. */
  reloading(status: string): void;
  stopping(status: string): void;
  status(text: string): void;
  /** Another process is the service from now on, and is ready. */
  succeededBy(pid: number): void;
  /**
   * Tells the watchdog that this process is alive, as often as it wants to hear, until disposed. The event loop does it: a
   * daemon whose loop is stuck says nothing, and is ended and started anew.
   */
  watch(): Disposable;
}

/**
 * Takes what the manager says out of the environment, so that no child speaks in the daemon's name: a runtime that finds
 * NOTIFY_SOCKET makes a place in the container for it.
 */
export function managerFacts(env: Record<string, string | undefined>): ManagerFacts {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: microseconds = "", WATCHDOG_PID: pid } = env;
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete env[name];
  const isOurs = pid === undefined || pid === "" || pid === String(process.pid);
  const watchdogMs = isOurs && /^[1-9]\d{3,}$/.test(microseconds) ? Number(microseconds) / 1000 : undefined;
  return { socket: socket === "" ? undefined : socket, watchdogMs };
}

/** What a successor needs to speak with the same manager. */
export function managerEnvironment({ socket, watchdogMs }: ManagerFacts): Readonly<Record<string, string>> {
  if (socket === undefined) return {};
  return {
    NOTIFY_SOCKET: socket,
    ...(watchdogMs === undefined ? {} : { WATCHDOG_USEC: String(Math.round(watchdogMs * 1000)) }),
  };
}

/** The service manager, by what it gave. It does not listen to a process that is not the service's main one, which keeps quiet. */
export function serviceManagerOf(
  { socket, watchdogMs }: ManagerFacts,
  log: Logger,
  isMain: () => boolean = () => true,
): ServiceManager {
  const tell = (...lines: readonly string[]): void => {
    if (socket === undefined || !isMain()) return;
    const state = lines.join("\n");
    try {
      sendDatagram(socket, new TextEncoder().encode(state));
      log.trace("told the service manager", { state });
    } catch (error) {
      log.warn("failed to tell the service manager", { state, error });
    }
  };
  return {
    isThere: socket !== undefined,
    ready: (status) => tell("READY=1", statusLine(status)),
    // The time proves that the readiness that follows is the answer to this. Source: sd_notify(3), MONOTONIC_USEC.
    reloading: (status) => tell("RELOADING=1", `MONOTONIC_USEC=${monotonicMicroseconds()}`, statusLine(status)),
    stopping: (status) => tell("STOPPING=1", statusLine(status)),
    status: (text) => tell(statusLine(text)),
    // In one message: after the first line of two this process would have no say any more.
    succeededBy: (pid) => tell("READY=1", `MAINPID=${pid}`),
    watch: () => feed(watchdogMs, () => tell("WATCHDOG=1")),
  };
}

/** Thrice in the time: once may be late, and once be lost. */
function feed(watchdogMs: number | undefined, tell: () => void): Disposable {
  if (watchdogMs === undefined) return { [Symbol.dispose]: () => {} };
  tell();
  const timer = setInterval(tell, Math.max(1, Math.floor(watchdogMs / 3)));
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function statusLine(text: string): string {
  return `STATUS=${text.replaceAll("\n", " ")}`;
}
