import { type Kind, kind } from "../plugin/index.ts";
import type { Listeners } from "./listeners.ts";

/** What listens on a socket. It is made with the other plugins, and starts to listen when all of them are there. */
export interface Server {
  /** `listeners` has the sockets that outlive this daemon: those that were handed to it, and those that it may hand on. */
  start(listeners: Listeners): Promise<void>;
}

export const SERVER: Kind<Server> = kind("io.containerd.server.v1");
