export type { Metadata, MetadataOptions, SchemaPart, Transaction } from "./metadata.ts";
export { openMetadata } from "./sqlite-metadata.ts";
