import { chmod, mkdir } from "node:fs/promises";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { FaultError } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Exchange } from "../events/index.ts";
import type { Collectable } from "../gc/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata } from "../metadata/index.ts";
import type { Checkable, CheckCounts, CheckOptions } from "../system/index.ts";
import { collectableSnapshots } from "./collectable-snapshots.ts";
import type { SnapshotDriver } from "./driver.ts";
import { SnapshotFolders } from "./folders.ts";
import { createNativeDriver } from "./native-driver.ts";
import { createOverlayDriver, type OverlayOptions } from "./overlay-driver.ts";
import { checkSnapshots } from "./snapshots-check.ts";
import type { Snapshotter, Snapshotters } from "./snapshotter.ts";
import { StoredSnapshotter } from "./stored-snapshotter.ts";

export interface SnapshotterOptions {
  /** The snapshotter's own folder; made when it is not there. */
  readonly root: string;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly log: Logger;
  /** A removal answers only when the files are gone. */
  readonly syncRemove?: boolean | undefined;
  readonly clock?: Clock | undefined;
}

/** A snapshotter that this daemon keeps itself. Disposing waits for removals that are under way. */
export type OwnSnapshotter = Snapshotter &
  AsyncDisposable & {
    /** Its folders, for garbage collection. */
    readonly folders: Pick<SnapshotFolders, "discard" | "settle">;
  } & Checkable;

/** Opens the snapshotter `overlayfs`. Effects: finishes what an earlier run left undone. */
export async function openOverlaySnapshotter(options: SnapshotterOptions & OverlayOptions): Promise<OwnSnapshotter> {
  return openWith(options, await createOverlayDriver(options.root, options));
}

/** Opens the snapshotter `native`. Effects: finishes what an earlier run left undone. */
export function openNativeSnapshotter(options: SnapshotterOptions): Promise<OwnSnapshotter> {
  return openWith(options, createNativeDriver(options.root));
}

async function openWith(options: SnapshotterOptions, driver: SnapshotDriver): Promise<OwnSnapshotter> {
  const { metadata, exchange, leases, log, syncRemove = false, clock = systemClock } = options;
  await mkdir(options.root, { recursive: true, mode: 0o700 });
  await chmod(options.root, 0o700);
  const folders = new SnapshotFolders({ driver, metadata, log });
  await folders.recover();
  const snapshotter = new StoredSnapshotter({ driver, folders, metadata, exchange, leases, syncRemove, clock });
  const check = (given: CheckOptions): Promise<CheckCounts> => checkSnapshots({ driver, metadata, folders }, given);
  return Object.assign(snapshotter, { folders, check, [Symbol.asyncDispose]: () => folders[Symbol.asyncDispose]() });
}

/** Joins snapshotters under their names. */
export function createSnapshotters(all: readonly Snapshotter[]): Snapshotters {
  const byName = new Map(all.map((one) => [one.name, one]));
  return {
    names: [...byName.keys()],
    get: (name) => {
      if (name === "") throw new FaultError("invalidArgument", "snapshotter argument missing: invalid argument");
      const found = byName.get(name);
      if (found !== undefined) return found;
      throw new FaultError("invalidArgument", `snapshotter not loaded: ${name}: invalid argument`);
    },
  };
}

/** The snapshots of the daemon's own snapshotters, for garbage collection. */
export function snapshotsToCollect(all: readonly Snapshotter[], exchange: Exchange): Collectable {
  const own = new Map(all.filter(isOwn).map((one) => [one.name, one.folders]));
  return collectableSnapshots({
    exchange,
    // Of a snapshotter that is not in use the folder goes when it is again.
    discard: (snapshotter, id) => own.get(snapshotter)?.discard(id),
    settle: async () => {
      await Promise.all([...own.values()].map((folders) => folders.settle()));
    },
  });
}

function isOwn(snapshotter: Snapshotter): snapshotter is OwnSnapshotter {
  return "folders" in snapshotter;
}
