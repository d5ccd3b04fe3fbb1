import { type Kind, kind } from "../plugin/index.ts";

/** What listens on a socket. It is made with the other plugins, and starts to listen when all of them are there. */
export interface Server {
  start(): Promise<void>;
}

export const SERVER: Kind<Server> = kind("io.containerd.server.v1");
