import { afterAll, beforeAll } from "bun:test";
import { busyboxImage, writeBusyboxImage } from "./busybox-image.ts";
import type { Daemon, RuntimeName } from "./daemon.ts";
import { type DaemonOptions, daemonKind, startDaemon } from "./daemons.ts";
import { missing, type Need, testNeeding } from "./requirements.ts";

/** A daemon with the busybox image, shared by the tests of one describe block. */
export interface SharedDaemon {
  /** The daemon; only inside a test. */
  readonly daemon: Daemon;
  /** Declares a test that needs this daemon, and perhaps more. */
  test(
    name: string,
    body: (daemon: Daemon) => Promise<void>,
    options?: { needs?: readonly Need[]; timeoutMs?: number },
  ): void;
  /** A container's name, new at each call. */
  newId(): string;
}

/**
 * What nothing refers to is there until the next collection: with this, only those that a test asks for come. The threshold
 * of the pause has the next one, after one that was asked for, wait for more than an hour.
 */
export const collectsWhenAsked = `[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "1h"
pause_threshold = 0.000001
deletion_threshold = 1000000
mutation_threshold = 0
`;

/** What every end-to-end test needs of the machine. */
export function daemonNeeds(runtime: RuntimeName = "runc"): readonly Need[] {
  const daemon: Need = daemonKind === "containerd" ? "containerd" : "lighterd";
  return ["root", "ctr", "busybox", "overlayfs", runtime, daemon];
}

/** Starts a daemon before the tests of the enclosing describe block and disposes it, leak check and all, after them. */
export function sharedDaemon(options: DaemonOptions = {}): SharedDaemon {
  const needs = [...daemonNeeds(options.runtime), ...(options.criu === true ? (["criu"] as const) : [])];
  let daemon: Daemon | undefined;
  let lastId = 0;
  if (missing(needs) === undefined) {
    beforeAll(async () => {
      daemon = await startDaemon(options);
      await importBusybox(daemon);
    }, 60_000);
    afterAll(async () => {
      await daemon?.[Symbol.asyncDispose]();
    }, 60_000);
  }
  const get = (): Daemon => {
    if (daemon === undefined) throw new Error("the daemon did not start");
    return daemon;
  };
  return {
    get daemon() {
      return get();
    },
    test: (name, body, more = {}) =>
      testNeeding([...needs, ...(more.needs ?? [])], name, () => body(get()), more.timeoutMs),
    newId: () => `c${++lastId}`,
  };
}

/** Puts the busybox image into the daemon's namespace. */
export async function importBusybox(daemon: Daemon): Promise<void> {
  const file = await writeBusyboxImage(`${daemon.workspace.folder}/busybox.tar`);
  await daemon.ctrOk(["images", "import", file]);
  if (!(await daemon.ctrOk(["images", "ls", "-q"])).includes(busyboxImage)) throw new Error("the image did not arrive");
}
