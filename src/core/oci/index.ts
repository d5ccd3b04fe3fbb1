export {
  type ArchiveIndex,
  type ArchiveStore,
  archiveIndex,
  dockerEntries,
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
export { childLabels, subjectAnnotation } from "./child-labels.ts";
export { plainBytes } from "./decompress.ts";
export {
  childrenIn,
  configPlatform,
  type Index,
  isObject,
  type JsonObject,
  type Manifest,
  maxDocumentBytes,
  parseDescriptors,
  parseImageDocument,
  parseJson,
  parseObject,
} from "./documents.ts";
export {
  type Compression,
  compressionOf,
  dockerLayer,
  dockerLayerGzip,
  dockerLayerZstd,
  ociDescriptor,
  ociLayer,
  ociLayerGzip,
  ociLayerZstd,
} from "./media-types.ts";
export { familiarReference, layoutReference, normalizeReference } from "./references.ts";
