export { type Bundle, type Bundles, createBundles, runtimeFolder } from "./bundles.ts";
export {
  checkpointMediaTypes,
  one,
  readIndex,
  storeCheckpoint,
  writeBlob,
} from "./checkpoint-content.ts";
export type { TaskFigures } from "./figures.ts";
export type { HostLauncher, LaunchedHost } from "./host/host.ts";
export { createHostProcess, type HostProcessOptions, hostSocketPath } from "./host/host-process.ts";
export { createRuntimeInfo } from "./runtime-info.ts";
export { findShim } from "./runtimes.ts";
export { createTasksService, type TasksServiceOptions } from "./service.ts";
export { diedUnder } from "./shim-calls.ts";
export { createTaskManager, type ProcessShimsConfig, type TaskManagerOptions, treeUnmounter } from "./task-manager.ts";
export type {
  ExecCreation,
  ExitInfo,
  OnLostTask,
  ProcessIo,
  ProcessState,
  Signal,
  Task,
  TaskCreation,
  TaskManager,
} from "./tasks.ts";
