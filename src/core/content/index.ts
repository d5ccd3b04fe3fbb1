export type {
  ContentInfo,
  ContentStore,
  ContentWriter,
  Digest,
  IngestStatus,
  WriterOptions,
} from "./content.ts";
export { type ContentStoreOptions, type OwnContentStore, openContentStore } from "./open-content-store.ts";
export { createContentService } from "./service.ts";
export { contentSchema, hasBlobs } from "./store.ts";
