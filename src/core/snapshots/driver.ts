import type { MountSpec } from "../mounts/index.ts";
import type { SnapshotKind, SnapshotUsage } from "./snapshotter.ts";
import type { Owner } from "./store.ts";

/** What a driver is asked to make. */
export interface NewSnapshot {
  readonly id: number;
  readonly kind: Exclude<SnapshotKind, "committed">;
  /** From the parent to the root, the nearest first. */
  readonly parents: readonly number[];
  /** Whose the root folder is to be. */
  readonly owner: Owner;
  readonly labels: ReadonlyMap<string, string>;
}

/** How one snapshotter keeps files; names, namespaces and rows are the same for all. */
export interface SnapshotDriver {
  readonly name: string;
  /** The folder of the snapshots' folders. */
  readonly folder: string;
  /** How a failure to answer mounts begins. */
  readonly mountsContext: string;
  /** Makes the folders of a snapshot. Effects: what it made of a failed one stays for the caller to remove. */
  create(snapshot: NewSnapshot): Promise<void>;
  mounts(snapshot: Omit<NewSnapshot, "owner">): readonly MountSpec[];
  /** The folders that a snapshot must have. */
  foldersOf(snapshot: {
    readonly id: number;
    readonly kind: SnapshotKind;
    readonly hasParent: boolean;
  }): readonly string[];
  /** The files that are the snapshot's own. */
  contentPath(id: number): string;
  usage(id: number, signal: AbortSignal): Promise<SnapshotUsage>;
  /** The labels that the driver itself adds when a snapshot is shown. */
  ownLabels(id: number): ReadonlyMap<string, string>;
}
