export { contentLayout } from "./blob-files.ts";
export type {
  BlobFile,
  ContentInfo,
  ContentStore,
  ContentWriter,
  Digest,
  IngestStatus,
  WriterOptions,
} from "./content.ts";
export { onlyContent } from "./content.ts";
export {
  type ContentStoreOptions,
  type OwnContentStore,
  openContentStore,
  sharingPolicyOf,
} from "./open-content-store.ts";
export {
  openRemoteContentStore,
  type RemoteContentStore,
  type RemoteContentStoreOptions,
} from "./remote/open-remote-content.ts";
export { createContentService } from "./service.ts";
export { contentSchema, hasBlobs, insertBlob, putIngest } from "./store.ts";
