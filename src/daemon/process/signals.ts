import type { Logger } from "../../lib/log.ts";

export interface SignalHandlers {
  /** TERM or INT, once. */
  readonly stop: () => void;
  /** HUP. */
  readonly reload: () => void;
  /** USR1. */
  readonly dump: () => void;
  /** USR2. */
  readonly upgrade: () => void;
  readonly log: Logger;
}

/**
 * Hears the process's signals: the first TERM or INT stops it in order, the second at once; HUP reloads; USR1 dumps; USR2
 * upgrades; PIPE is nothing, for a write says it too. What nobody caught is logged with its stack and does not end the daemon.
 */
export function handleSignals({ stop, reload, dump, upgrade, log }: SignalHandlers): void {
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      log.info("received signal", { signal });
      if (stopping) process.exit(1);
      stopping = true;
      stop();
    });
  process.on("SIGHUP", reload);
  process.on("SIGUSR1", dump);
  process.on("SIGUSR2", upgrade);
  process.on("SIGPIPE", () => {});
  const uncaught = (what: string) => (error: unknown) =>
    log.error(what, { error, stack: error instanceof Error ? error.stack : undefined });
  process.on("uncaughtException", uncaught("uncaught error"));
  process.on("unhandledRejection", uncaught("unhandled rejection"));
}
