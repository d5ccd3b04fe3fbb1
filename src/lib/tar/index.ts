export {
  type ByteString,
  byteString,
  displayName,
  noXattrs,
  plainEntry,
  type TarEntry,
  TarError,
  type TarKind,
  type TarSegment,
  type TarTime,
  zeroTime,
} from "./entry.ts";
export { TarReader, type TarSink } from "./reader.ts";
export { encodeHeader, endMark, paddingFor } from "./writer.ts";
