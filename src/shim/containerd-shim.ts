import type { TtrpcServer } from "../wire/ttrpc/index.ts";
import { EventForwarder } from "./event-forwarder.ts";
import { endWhenIdle } from "./idle-end.ts";
import type { HostParts } from "./parts.ts";
import type { BrokenTasks } from "./recovery/broken.ts";
import { loadSandboxes } from "./sandbox/sandbox-files.ts";

export interface ContainerdShimOptions {
  readonly parts: HostParts;
  readonly broken: BrokenTasks;
  readonly server: TtrpcServer;
  /** The ttrpc socket of the containerd. */
  readonly events: string;
  readonly end: () => void;
}

/**
 * Makes a host a shim of somebody else's containerd: its events go there, and it ends when there is nothing left to do.
 */
export function serveContainerd(options: ContainerdShimOptions): AsyncDisposable {
  const { parts, broken, server, events, end } = options;
  const forwarder = new EventForwarder({ address: events, journal: parts.journal, log: parts.log });
  const isIdle = (): boolean =>
    parts.tasks.size === 0 &&
    server.connections === 0 &&
    parts.journal.kept().length === 0 &&
    broken.all().length === 0 &&
    loadSandboxes(parts.folder).length === 0;
  const idle = endWhenIdle(isIdle, () => {
    parts.log.info("nothing left to do");
    end();
  });
  return {
    [Symbol.asyncDispose]: async () => {
      idle[Symbol.dispose]();
      await forwarder[Symbol.asyncDispose]();
    },
  };
}
