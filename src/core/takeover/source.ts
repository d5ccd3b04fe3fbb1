import { join } from "node:path";

/** Where a containerd kept its things, and where lighter keeps its own beside them. */
export interface TakeoverSource {
  readonly root: string;
  readonly state: string;
  /** The roots of snapshotters that the configuration puts elsewhere, by their names. */
  readonly snapshotterRoots: ReadonlyMap<string, string>;
  /** Where programs of shims are looked for, as in PATH. */
  readonly searchPath: string;
}

/** The snapshotters whose databases and folders are read; both are lighter's own, too. */
export const ownSnapshotters = ["overlayfs", "native"] as const;

/** containerd's metadata below its root. Source: containerd plugins/metadata/plugin.go. */
export function oldDatabase(root: string): string {
  return join(metadataFolder(root), "meta.db");
}

export function metadataFolder(root: string): string {
  return join(root, "io.containerd.metadata.v1.bolt");
}

export function contentRoot(root: string): string {
  return join(root, "io.containerd.content.v1.content");
}

export function snapshotterRoot(
  { root, snapshotterRoots }: Pick<TakeoverSource, "root" | "snapshotterRoots">,
  name: string,
): string {
  return snapshotterRoots.get(name) ?? join(root, `io.containerd.snapshotter.v1.${name}`);
}

/** Where a snapshot's own files lie. */
export function snapshotFolder(root: string, snapshotter: string, id: number): string {
  const folder = join(root, "snapshots", String(id));
  return snapshotter === "overlayfs" ? join(folder, "fs") : folder;
}
