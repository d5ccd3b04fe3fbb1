import { chmod, mkdir } from "node:fs/promises";
import type { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { FaultError, isFault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { ServiceClient } from "../../wire/service.ts";
import type { Exchange } from "../events/index.ts";
import type { Collectable } from "../gc/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata } from "../metadata/index.ts";
import type { Checkable, CheckCounts, CheckOptions } from "../system/index.ts";
import { createSnapshotBackend } from "./backend.ts";
import { BackendRemovals } from "./backend-removals.ts";
import { collectableSnapshots } from "./collectable-snapshots.ts";
import type { SnapshotDriver } from "./driver.ts";
import { SnapshotFolders } from "./folders.ts";
import { createNativeDriver } from "./native-driver.ts";
import { createOverlayDriver, type OverlayOptions } from "./overlay-driver.ts";
import { committedKey, ProxiedSnapshotter } from "./proxied-snapshotter.ts";
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
    readonly folders: Discarded;
  } & Checkable;

/** What of a snapshotter takes away the files of rows that went. */
interface Discarded {
  discard(id: number): void;
  settle(): Promise<void>;
}

/** A snapshotter that another process keeps, with the removals there that garbage collection waits for. */
export type ProxySnapshotter = Snapshotter & AsyncDisposable & { readonly folders: Discarded };

export interface ProxySnapshotterOptions extends Omit<SnapshotterOptions, "root" | "syncRemove"> {
  readonly name: string;
  /** Connects on first use, and again when the connection is gone. */
  readonly connect: () => Promise<ServiceClient<typeof Snapshots>>;
}

/** Opens a snapshotter that another process serves by containerd's own API. Effects: none there before it is used. */
export function openProxySnapshotter(options: ProxySnapshotterOptions): ProxySnapshotter {
  const { name, metadata, log, connect, clock = systemClock } = options;
  const backend = createSnapshotBackend(name, connect);
  const removals = new BackendRemovals({ snapshotter: name, backend, metadata, log, committedKey });
  const snapshotter = new ProxiedSnapshotter({ ...options, backend, removals, clock });
  return Object.assign(snapshotter, {
    folders: removals,
    [Symbol.asyncDispose]: () => removals[Symbol.asyncDispose](),
  });
}

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

/** The snapshots of all snapshotters, for garbage collection. */
export function snapshotsToCollect(
  all: readonly Snapshotter[],
  { metadata, exchange, log }: Pick<SnapshotterOptions, "metadata" | "exchange" | "log">,
): Collectable {
  const own = new Map(all.filter(isOwn).map((one) => [one.name, one]));
  return collectableSnapshots({
    metadata,
    exchange,
    // Of a snapshotter that is not in use the folder goes when it is again.
    discard: (snapshotter, id) => own.get(snapshotter)?.folders.discard(id),
    settle: async () => {
      await Promise.all([...own.values()].map(({ folders }) => folders.settle()));
    },
    usage: async (ctx, snapshotter, name) => {
      try {
        return await own.get(snapshotter)?.usage(ctx, name);
      } catch (error) {
        if (ctx.aborted) throw error;
        // One that went meanwhile, or whose process does not answer: the rest is counted all the same.
        if (!isFault(error, "notFound"))
          log.warn("a snapshot is not counted", { snapshotter, name, error: messageOf(error) });
        return undefined;
      }
    },
  });
}

function isOwn(snapshotter: Snapshotter): snapshotter is ProxySnapshotter {
  return "folders" in snapshotter;
}
