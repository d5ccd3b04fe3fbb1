export type {
  Collectable,
  CollectableRows,
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
export { findDead, type MarkLine, type ReportOptions, tellLiving } from "./mark-report.ts";
export { Marking } from "./marking.ts";
export { ReferenceGraph } from "./reference-graph.ts";
export { gcLabels, gcLabelsOf } from "./reference-labels.ts";
export { createGarbageCollector, type GarbageCollectorOptions } from "./scheduled-collector.ts";
export type { ScheduleConfig } from "./scheduler.ts";
