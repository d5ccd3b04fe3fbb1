export { openMetadataPatiently } from "./lock-patience.ts";
export type {
  Metadata,
  MetadataOptions,
  MutationWatcher,
  ResourceKind,
  SchemaPart,
  Transaction,
  UpdateOptions,
} from "./metadata.ts";
export { openMetadata } from "./sqlite-metadata.ts";
