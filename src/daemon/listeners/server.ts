import { type Kind, kind } from "../../plugin/index.ts";
import type { Listeners } from "./listeners.ts";

/** Begins to serve on the socket that was opened. It fails only for what was wrong before. */
export type Begin = () => void;

/**
 * What listens on a socket. It is made with the other plugins, and starts to listen when all of them are there, in two steps: a
 * socket that cannot be had stops a start before anybody was served.
 */
export interface Server {
  /** `listeners` has the sockets that outlive this daemon: those that were handed to it, and those that it may hand on. */
  open(listeners: Listeners): Promise<Begin>;
  /**
   * Takes no more clients, and gives those that it has the time to have their answers.
   * Shape: servers of the API call `quiet` when none of their calls is under way but those that wait themselves, and go on when it
   * settles: the events of those calls have been told then. Called once.
   */
  close?(quiet: () => Promise<void>): Promise<void>;
}

/** How long a daemon that ends waits for the calls under way, but for those that wait themselves. */
export const graceMs = 5000;

export const SERVER: Kind<Server> = kind("io.containerd.server.v1");
