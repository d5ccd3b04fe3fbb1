import type { Logger } from "../lib/log.ts";
import { shrinkWhenIdle } from "../sys/index.ts";
import type { ConfigState } from "./config/config-changes.ts";
import type { ReloadDesk } from "./config/reload-desk.ts";
import type { Settings } from "./config/settings.ts";
import { type Daemon, type DaemonParts, startDaemon } from "./daemon.ts";
import type { ServiceManager } from "./process/notify.ts";
import type { HeardBefore, Predecessor } from "./upgrade/handover.ts";
import type { Successor } from "./upgrade/successor.ts";
import type { UpgradeDesk } from "./upgrade/upgrades.ts";

export interface LifeParts extends Omit<DaemonParts, "turn" | "inForce"> {
  readonly predecessor: Predecessor | undefined;
  readonly manager: ServiceManager;
  readonly desk: UpgradeDesk;
  readonly reloads: ReloadDesk;
  /** Called each time that the daemon serves, with what it was started by. */
  readonly onServing: (daemon: Daemon, settings: Settings) => void;
  readonly log: Logger;
}

/**
 * Serves until the process is told to end, or another program has taken its place. One that fails to gives the place back: the
 * daemon starts again, on the same sockets, in the same process.
 * Errors: those of startDaemon.
 */
export async function live(parts: LifeParts): Promise<void> {
  const { manager, desk, listeners, stop, log } = parts;
  let { settings, predecessor } = parts;
  let inForce: DaemonParts["inForce"];
  let turn: DaemonParts["turn"] = async () => predecessor?.prepared(manager.isThere);
  for (;;) {
    const ended = await serve({ ...parts, settings, predecessor }, { turn, inForce });
    if (ended === undefined) return;
    await using successor = ended.successor;
    const failure = await successor.takeOver(ended.heard, stop);
    if (failure === undefined) {
      listeners.keepFiles(false);
      // Told before this process ends: a manager that sees its main process end without it starts another.
      manager.succeededBy(successor.pid);
      successor.confirm();
      // Whoever asked meanwhile has changed files that it had read already.
      if (parts.reloads.askedSinceMark) process.kill(successor.pid, "SIGHUP");
      log.info("another program has taken over", { pid: successor.pid });
      return;
    }
    if (stop.aborted) return;
    desk.failed(failure);
    predecessor = undefined;
    turn = async () => ended.heard;
    // What came into force while it lived stays in force, whatever the files say by now.
    inForce = ended.now?.byUri ?? inForce;
    settings = onceMore(ended.now?.settings ?? settings);
  }
}

/** What was to be done once has been done. */
function onceMore(settings: Settings): Settings {
  return { ...settings, takeover: settings.takeover === "again" ? "auto" : settings.takeover };
}

interface Ended {
  readonly successor: Successor;
  readonly heard: HeardBefore;
  /** The settings that were in force. */
  readonly now: ConfigState | undefined;
}

/** One life: from the start of the daemon until everything of it is closed. Answers undefined when it was told to stop. */
async function serve(
  parts: LifeParts,
  { turn, inForce }: Pick<DaemonParts, "turn" | "inForce">,
): Promise<Ended | undefined> {
  const { predecessor, manager, desk, listeners, stop, log } = parts;
  let successor: Successor | undefined;
  let daemon: Daemon;
  let now: ConfigState | undefined;
  {
    await using started = await startDaemon({ ...parts, turn, inForce, upgrades: desk });
    daemon = started;
    await predecessor?.serves(manager.isThere);
    listeners.keepFiles(true);
    listeners.dropUnclaimed();
    parts.onServing(daemon, parts.settings);
    // Code that ran up to here ran once; what callers ask for is worth compiling.
    Bun.unsafe.setJITPolicy(1);
    using _watch = shrinkWhenIdle();
    successor = await Promise.race([stopped(stop), desk.next]);
    if (successor === undefined) {
      log.info("stopping; containers keep running");
      listeners[Symbol.dispose]();
    } else {
      await untilAllAreBack(daemon, stop);
      now = await parts.reloads.close();
      manager.reloading("another program takes over");
      log.info("handing over", { pid: successor.pid });
    }
  }
  return successor === undefined ? undefined : { successor, heard: daemon.retire(), now };
}

function stopped(stop: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (stop.aborted) resolve(undefined);
  stop.addEventListener("abort", () => resolve(undefined), { once: true });
  return promise;
}

const backTickMs = 10;

/** Subscribers of the daemon before this one get what is kept for them: it is nowhere else. They are not waited for for long. */
async function untilAllAreBack(daemon: Daemon, stop: AbortSignal): Promise<void> {
  while (daemon.awaited > 0 && !stop.aborted) await Bun.sleep(backTickMs);
}
