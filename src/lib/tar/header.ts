import { checksumMatches, fields, numberField, textField } from "./block.ts";
import { type ByteString, noXattrs, type TarEntry, TarError, type TarKind, xattrPrefix } from "./entry.ts";
import { type PaxRecords, paxNumber, paxTime } from "./pax.ts";

/** A header block as it stands, before what extended headers say. */
export interface RawHeader {
  readonly type: string;
  readonly format: "v7" | "ustar" | "gnu";
  readonly entry: TarEntry;
  /** The size field: how much data follows, for kinds that have any. */
  readonly storedBytes: number;
}

const kinds: Readonly<Record<string, TarKind>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

/** The types that speak about the next member, or the archive, and are none themselves. */
export const metaTypes: ReadonlySet<string> = new Set(["x", "g", "L", "K", "X"]);

/** Reads a header block. Errors: TarError (checksum, numbers, a type that is not known). */
export function decodeHeader(block: Buffer): RawHeader {
  if (!checksumMatches(block)) throw new TarError("invalid header (wrong checksum)");
  const type = block.toString("latin1", fields.type[0], fields.type[0] + 1);
  const format = formatOf(block);
  const name = nameOf(block, format);
  const kind = kindOf(type, name);
  const storedBytes = numberField(block, fields.size);
  if (storedBytes < 0) throw new TarError("invalid header (negative size)", name);
  const special = format !== "v7" && (kind === "character" || kind === "block");
  return {
    type,
    format,
    storedBytes,
    entry: {
      name,
      linkName: textField(block, fields.linkName),
      kind,
      mode: numberField(block, fields.mode) & 0o7777,
      uid: numberField(block, fields.uid),
      gid: numberField(block, fields.gid),
      sizeBytes: kind === "file" ? storedBytes : 0,
      mtime: { seconds: numberField(block, fields.mtime), nanos: 0 },
      devMajor: special ? numberField(block, fields.devMajor) : 0,
      devMinor: special ? numberField(block, fields.devMinor) : 0,
      xattrs: noXattrs,
    },
  };
}

/** The member that a header describes together with the extended header before it. Errors: TarError. */
export function withPax(entry: TarEntry, records: PaxRecords): TarEntry {
  if (records.length === 0) return entry;
  const changed: { -readonly [K in keyof TarEntry]: TarEntry[K] } = { ...entry };
  const xattrs = new Map<ByteString, Uint8Array>();
  for (const [key, value] of records) {
    // An empty value takes back what the header says to what an absent record means: nothing changes.
    if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), Buffer.from(value, "latin1"));
    else if (value !== "") applyRecord(changed, key, value);
  }
  if (xattrs.size > 0) changed.xattrs = xattrs;
  // Only now is it known whether an old archive's file is a folder by its name.
  if (changed.kind === "file" && changed.name.endsWith("/")) changed.kind = "directory";
  return changed;
}

function applyRecord(entry: { -readonly [K in keyof TarEntry]: TarEntry[K] }, key: string, value: ByteString): void {
  switch (key) {
    case "path":
      entry.name = value;
      return;
    case "linkpath":
      entry.linkName = value;
      return;
    case "uid":
      entry.uid = paxNumber(value);
      return;
    case "gid":
      entry.gid = paxNumber(value);
      return;
    case "mtime":
      entry.mtime = paxTime(value);
      return;
    case "atime":
      entry.atime = paxTime(value);
      return;
    default:
  }
}

/** What an extended header says of the size of the data; undefined when nothing. Errors: TarError. */
export function paxSize(records: PaxRecords): number | undefined {
  const value = records.findLast((record) => record[0] === "size")?.[1];
  if (value === undefined || value === "") return undefined;
  const size = paxNumber(value);
  if (size < 0) throw new TarError("invalid size in extended header");
  return size;
}

function formatOf(block: Buffer): RawHeader["format"] {
  const [offset, size] = fields.magic;
  const magic = block.toString("latin1", offset, offset + size);
  if (magic === "ustar  \0") return "gnu";
  return magic.startsWith("ustar\0") ? "ustar" : "v7";
}

function nameOf(block: Buffer, format: RawHeader["format"]): ByteString {
  const name = textField(block, fields.name);
  if (format !== "ustar") return name;
  const [trailer, size] = fields.starTrailer;
  const star = block.toString("latin1", trailer, trailer + size) === "tar\0";
  const prefix = textField(block, star ? fields.starPrefix : fields.prefix);
  return prefix === "" ? name : `${prefix}/${name}`;
}

function kindOf(type: string, name: ByteString): TarKind {
  if (metaTypes.has(type)) return "file";
  const kind = Object.hasOwn(kinds, type) ? kinds[type] : undefined;
  if (kind === undefined) throw new TarError(`unhandled tar header type ${type.charCodeAt(0)}`, name);
  return kind;
}
