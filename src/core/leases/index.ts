export { collectableLeases } from "./collectable-leases.ts";
export type { LeaseInfo, LeaseManager, LeaseResource } from "./leases.ts";
export { createLeasesService } from "./service.ts";
export { createLeaseManager, importLease, type LeaseManagerOptions, leasesSchema } from "./store.ts";
