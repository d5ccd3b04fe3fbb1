/**
 * Bytes as text, one character a byte (latin1). File names are bytes to the kernel and to tar; as UTF-8 text some would
 * not survive. ASCII characters are themselves, so `/` and `.` can be looked for as usual.
 */
export type ByteString = string;

export type TarKind = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

/** A moment with all the precision an archive carries. Shape: nanos is 0 to 999999999, also before 1970. */
export interface TarTime {
  readonly seconds: number;
  readonly nanos: number;
}

/** A stretch of a sparse file that holds data; what lies between is zeros. */
export interface TarSegment {
  readonly offset: number;
  readonly length: number;
}

/** One member of an archive. */
export interface TarEntry {
  /** As the archive has it: not cleaned, never trusted. */
  readonly name: ByteString;
  /** The target of a hardlink (a name in the archive) or symlink (any text). */
  readonly linkName: ByteString;
  readonly kind: TarKind;
  /** Permission, set-id and sticky bits: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The file's size once unpacked, holes included; 0 for all but files. */
  readonly sizeBytes: number;
  readonly mtime: TarTime;
  readonly atime?: TarTime | undefined;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>;
  /** Where a sparse file's data lies; undefined for a file without holes. */
  readonly segments?: readonly TarSegment[] | undefined;
}

export const blockBytes: number = 512;
export const zeroTime: TarTime = { seconds: 0, nanos: 0 };
export const noXattrs: ReadonlyMap<ByteString, Uint8Array> = new Map();

/** The PAX key prefix under which extended attributes travel. Source: star(1), as Go's, GNU's and BSD's tar have it. */
export const xattrPrefix: string = "SCHILY.xattr.";

/** What is wrong with an archive. The caller says which archive, and `entry` which member. */
export class TarError extends Error {
  readonly entry: ByteString | undefined;
  constructor(message: string, entry?: ByteString) {
    super(message);
    this.name = "TarError";
    this.entry = entry;
  }
}

/** A byte string as a person reads it. */
export function displayName(name: ByteString): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** Text as a byte string of its UTF-8. */
export function byteString(text: string): ByteString {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** A plain file's member, of root's and from the beginning of time, but for what is said otherwise. */
export function plainEntry(name: ByteString, sizeBytes: number, more: Partial<TarEntry> = {}): TarEntry {
  return {
    name,
    linkName: "",
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes,
    mtime: zeroTime,
    devMajor: 0,
    devMinor: 0,
    xattrs: noXattrs,
    ...more,
  };
}
