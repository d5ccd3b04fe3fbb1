import { spawnWorker } from "./spawn-worker.ts";

export type {
  CopyTreeJob,
  DiffCompression,
  DiffJob,
  DiffResult,
  MountJob,
  MountResult,
  MountStep,
  MountTransform,
  RemoveTreeJob,
  SettleTreeJob,
  StreamProcessor,
  TreeSource,
  TreeUsage,
  UnmountResult,
  UnpackJob,
  UnpackLimits,
  UnpackResult,
  WorkerName,
} from "./jobs.ts";
export { type CrewLayer, type LayerCrew, type LayerCrewOptions, openLayerCrew } from "./layer-crew.ts";
export { spawnWorker, type WorkerRunOptions } from "./spawn-worker.ts";
export { startingRights } from "./unpacking/rights.ts";

/** Copies what is in a folder, everything kept, into another that is empty. */
export async function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await spawnWorker("copy-tree", { from, to }, { signal });
}

/** Removes folders and everything below them; one that is not there is fine. Answers what kept others from going. */
export async function removeTrees(paths: readonly string[]): Promise<readonly string[]> {
  return (await spawnWorker("remove-tree", { paths })).failures;
}
export { runWorker } from "./main.ts";
