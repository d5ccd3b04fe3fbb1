export type { AppliedLayer, ApplyOptions, CompareOptions, Differ, LayerDescriptor, SettleOptions } from "./differ.ts";
export type { StreamProcessorConfig } from "./processors.ts";
export { createDiffService } from "./service.ts";
export { createDiffer, type DifferOptions } from "./worker-differ.ts";
