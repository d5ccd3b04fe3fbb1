export type { NamedCheckpoints } from "./checkpoints.ts";
export { createNamedCheckpoints, type NamedCheckpointsOptions } from "./kept-checkpoints.ts";
export { createCheckpointsService } from "./service.ts";
export { checkpointsSchema } from "./store.ts";
