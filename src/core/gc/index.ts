export type {
  Collectable,
  CollectionStats,
  CollectionWatcher,
  DiskUsage,
  Edge,
  GarbageCollector,
  HolderUsage,
  Holding,
  HoldingPath,
  Removal,
  Resource,
  ResourceCollector,
  ResourceNode,
} from "./gc.ts";
export { gcLabels, gcLabelsOf } from "./reference-labels.ts";
export { createGarbageCollector, type GarbageCollectorOptions } from "./scheduled-collector.ts";
export type { ScheduleConfig } from "./scheduler.ts";
