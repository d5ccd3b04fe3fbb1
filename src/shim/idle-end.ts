import type { TtrpcServer } from "../wire/ttrpc/index.ts";
import type { HostParts } from "./parts.ts";
import type { BrokenTasks } from "./recovery/broken.ts";
import { loadSandboxes } from "./sandbox/sandbox-files.ts";

export interface IdleEndOptions {
  readonly parts: HostParts;
  readonly broken: BrokenTasks;
  readonly server: TtrpcServer;
  readonly end: () => void;
}

/** How often a host without work looks whether it has some, and after how many such looks it ends. */
const [lookMs, looksMax] = [1_000, 5];

/**
 * Ends a host that has had nothing to do for a while: no task, no sandbox, no caller (a daemon that lives is one), no event to
 * bring. The next daemon starts another one.
 */
export function endWhenIdle({ parts, broken, server, end }: IdleEndOptions): Disposable {
  const isIdle = (): boolean =>
    parts.tasks.size === 0 &&
    server.connections === 0 &&
    parts.journal.kept().length === 0 &&
    broken.all().length === 0 &&
    loadSandboxes(parts.folder).length === 0;
  let looks = 0;
  const timer = setInterval(() => {
    looks = isIdle() ? looks + 1 : 0;
    if (looks < looksMax) return;
    parts.log.info("nothing left to do");
    end();
  }, lookMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
