export type { ApplyOptions, CompareOptions, Differ, LayerDescriptor } from "./differ.ts";
export { createDiffService } from "./service.ts";
export { createDiffer, type DifferOptions } from "./worker-differ.ts";
