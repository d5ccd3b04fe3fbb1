export { type BoltFile, type BoltLimits, openBolt } from "./bolt-file.ts";
export type { BoltBucket, BoltEntry } from "./bucket.ts";
