export {
  type ArchiveIndex,
  type ArchiveStore,
  archivedBlob,
  archiveIndex,
  dockerLayerType,
  imageNameAnnotation,
  refNameAnnotation,
} from "./archive-index.ts";
export {
  type ArchiveContents,
  type ArchivedBlob,
  type BlobRequest,
  type BlobSink,
  type OpenBlob,
  readArchive,
  type WrittenBlob,
} from "./archive-reader.ts";
export { chainIds } from "./chain-ids.ts";
export { childLabels } from "./child-labels.ts";
export { plainBytes } from "./decompress.ts";
export {
  childrenIn,
  configPlatform,
  type Index,
  isObject,
  type JsonObject,
  type Manifest,
  maxDocumentBytes,
  parseImageDocument,
  parseObject,
} from "./documents.ts";
export {
  type Compression,
  compressionOf,
  dockerLayerGzip,
  ociDescriptor,
} from "./media-types.ts";
export { familiarReference, layoutReference } from "./references.ts";
