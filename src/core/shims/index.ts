export { bootstrapOf } from "./bootstrap.ts";
export { createHostFiles, type HostFiles } from "./host-files.ts";
export { createProcessShims, type ProcessShims, type ProcessShimsOptions } from "./process-shims.ts";
export type {
  OwnShim,
  RuntimeResolver,
  Shim,
  ShimConnection,
  ShimEnd,
  ShimEndpoint,
  ShimRequest,
} from "./shim.ts";
export { readBootstrap, readOwner, type ShimOwner, writeOwner } from "./shim-files.ts";
export type { DaemonFacts } from "./shim-program.ts";
