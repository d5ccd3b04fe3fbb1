import type { Logger } from "../lib/log.ts";
import { sendDatagram } from "../sys/index.ts";

/** Tells the service manager how the daemon fares; does nothing where there is none. Source: sd_notify(3). */
export interface ServiceManager {
  ready(): void;
  stopping(): void;
}

/** The service manager that the environment names. */
export function serviceManagerOf(socket: string | undefined, log: Logger): ServiceManager {
  const tell = (state: string): void => {
    if (socket === undefined || socket === "") return;
    try {
      sendDatagram(socket, new TextEncoder().encode(state));
      log.debug("told the service manager", { state });
    } catch (error) {
      log.warn("failed to tell the service manager", { state, error });
    }
  };
  return { ready: () => tell("READY=1"), stopping: () => tell("STOPPING=1") };
}
