export type { HostOptions, ShimHost } from "./host.ts";
export { runShimHost } from "./shim-host.ts";
