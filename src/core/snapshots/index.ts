export {
  createSnapshotters,
  type OwnSnapshotter,
  openNativeSnapshotter,
  openOverlaySnapshotter,
  openProxySnapshotter,
  type SnapshotterOptions,
  snapshotsToCollect,
} from "./open-snapshotters.ts";
export { inUserNamespace, type OverlayOptions, supportsIdMapping } from "./overlay-driver.ts";
export { createSnapshotsService } from "./service.ts";
export type {
  SnapshotInfo,
  SnapshotKind,
  SnapshotOptions,
  Snapshotter,
  Snapshotters,
  SnapshotUsage,
} from "./snapshotter.ts";
export { hasSnapshots, insertSnapshot, originOf, snapshotsSchema } from "./store.ts";
