export { cgroupAt, readCgroupMounts } from "./cgroup/locate.ts";
export type { HostOptions, ShimHost } from "./host.ts";
export { joinCgroup } from "./launch/shim-cgroup.ts";
export { runShimHost } from "./shim-host.ts";
