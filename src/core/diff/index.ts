export type { AppliedLayer, ApplyOptions, CompareOptions, Differ, LayerDescriptor, SettleOptions } from "./differ.ts";
export { createLayerRepacker, type LayerRepacker, type RepackOptions } from "./layer-repacker.ts";
export { createLayersService } from "./layers-service.ts";
export { withManagedMounts } from "./managed-mounts.ts";
export { defaultProcessors, type StreamProcessorConfig } from "./processors.ts";
export { createDiffService } from "./service.ts";
export { createDiffer, type DifferOptions } from "./worker-differ.ts";
