import { type Field, fields } from "./block.ts";
import { type ByteString, blockBytes, type TarEntry, type TarKind, xattrPrefix } from "./entry.ts";
import { formatPaxRecord, formatPaxTime } from "./pax.ts";

const typeOf: Readonly<Record<TarKind, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** Two blocks of zeros end an archive. */
export const endMark: Uint8Array = new Uint8Array(2 * blockBytes);

const zeros = new Uint8Array(blockBytes);

/** The zeros after a member's data. */
export function paddingFor(sizeBytes: number): Uint8Array {
  const rest = sizeBytes % blockBytes;
  return rest === 0 ? zeros.subarray(0, 0) : zeros.subarray(rest);
}

/**
 * The header of a member: an extended header where a value does not fit the plain one, then the plain one; a long name alone
 * is split at a slash where it can be. Byte for byte what Go's archive/tar writes for the same values with Format PAX, so that
 * digests agree with containerd's.
 * Shape: `sizeBytes` of data and padding follow for a file; times are cut to whole seconds unless `keepNanos`.
 * Source: Go archive/tar, Header.allowedFormats, which takes PAX to allow ustar too.
 */
export function encodeHeader(entry: TarEntry, keepNanos = false): Uint8Array {
  const records = paxRecords(entry, keepNanos);
  if (records.size === 0) return finished(plainBlock(entry));
  const split = records.size === 1 && records.has("path") ? splitName(entry.name) : undefined;
  if (split !== undefined) {
    const block = plainBlock({ ...entry, name: split.rest });
    writeText(block, fields.prefix, split.prefix);
    return finished(block);
  }
  let text = "";
  for (const key of [...records.keys()].sort()) text += formatPaxRecord(key, records.get(key) as string);
  const data = Buffer.from(text, "latin1");
  const main = finished(plainBlock(entry));
  return Buffer.concat([extendedBlock(entry.name, data.length), data, paddingFor(data.length), main]);
}

/** What does not fit the plain header. */
function paxRecords(entry: TarEntry, keepNanos: boolean): Map<string, ByteString> {
  const records = new Map<string, ByteString>();
  const addText = (key: string, value: ByteString, [, size]: Field): void => {
    if (value.length > size || !isAscii(value)) records.set(key, value);
  };
  const addNumber = (key: string, value: number, [, size]: Field): void => {
    if (!fitsOctal(value, size)) records.set(key, String(value));
  };
  addText("path", entry.name, fields.name);
  addText("linkpath", entry.linkName, fields.linkName);
  addNumber("uid", entry.uid, fields.uid);
  addNumber("gid", entry.gid, fields.gid);
  addNumber("size", dataSize(entry), fields.size);
  if (keepNanos && entry.mtime.nanos !== 0) records.set("mtime", formatPaxTime(entry.mtime));
  else addNumber("mtime", entry.mtime.seconds, fields.mtime);
  for (const [name, value] of entry.xattrs) records.set(xattrPrefix + name, Buffer.from(value).toString("latin1"));
  return records;
}

function plainBlock(entry: TarEntry): Buffer {
  const block = Buffer.alloc(blockBytes);
  writeText(block, fields.name, asciiOf(entry.name));
  writeText(block, fields.linkName, asciiOf(entry.linkName));
  writeOctal(block, fields.mode, entry.mode);
  writeOctal(block, fields.uid, entry.uid);
  writeOctal(block, fields.gid, entry.gid);
  writeOctal(block, fields.size, dataSize(entry));
  writeOctal(block, fields.mtime, entry.mtime.seconds);
  writeOctal(block, fields.devMajor, entry.devMajor);
  writeOctal(block, fields.devMinor, entry.devMinor);
  writeText(block, fields.type, typeOf[entry.kind]);
  return block;
}

function extendedBlock(name: ByteString, dataBytes: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  writeText(block, fields.name, extendedName(name));
  writeOctal(block, fields.mode, 0);
  writeOctal(block, fields.uid, 0);
  writeOctal(block, fields.gid, 0);
  writeOctal(block, fields.size, dataBytes);
  writeOctal(block, fields.mtime, 0);
  writeText(block, fields.type, "x");
  return finished(block);
}

/** `dir/PaxHeaders.0/base`, as Go has it: path.Join of path.Split, to ASCII, cut to the field, no slash at the end. */
function extendedName(name: ByteString): ByteString {
  const slash = name.lastIndexOf("/");
  const directory = name.slice(0, slash + 1);
  const joined = `${directory}PaxHeaders.0/${name.slice(slash + 1)}`.replace(/\/+$/, "").replace(/\/{2,}/g, "/");
  return asciiOf(joined).slice(0, fields.name[1]).replace(/\/+$/, "");
}

function finished(block: Buffer): Buffer {
  block.write("ustar\u000000", fields.magic[0], "latin1");
  const [offset] = fields.checksum;
  let sum = 8 * 0x20;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, offset, "latin1");
  return block;
}

function writeText(block: Buffer, [offset, size]: Field, text: ByteString): void {
  block.write(text.slice(0, size), offset, "latin1");
}

function writeOctal(block: Buffer, [offset, size]: Field, value: number): void {
  const digits = fitsOctal(value, size) ? value.toString(8) : "0";
  block.write(digits.padStart(size - 1, "0"), offset, "latin1");
}

function fitsOctal(value: number, size: number): boolean {
  return value >= 0 && value < 8 ** (size - 1);
}

function dataSize(entry: TarEntry): number {
  return entry.kind === "file" ? entry.sizeBytes : 0;
}

function isAscii(text: ByteString): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 127) return false;
  return true;
}

function asciiOf(text: ByteString): ByteString {
  if (isAscii(text)) return text;
  let ascii = "";
  for (const character of text) if (character.charCodeAt(0) <= 127) ascii += character;
  return ascii;
}

/** Splits a long name as ustar keeps it; undefined where it can't. Source: Go archive/tar, splitUSTARPath. */
function splitName(name: ByteString): { prefix: ByteString; rest: ByteString } | undefined {
  const [, nameSize] = fields.name;
  const [, prefixSize] = fields.prefix;
  if (!isAscii(name)) return undefined;
  const limit = name.length > prefixSize + 1 ? prefixSize + 1 : name.endsWith("/") ? name.length - 1 : name.length;
  const at = name.lastIndexOf("/", limit - 1);
  const rest = name.length - at - 1;
  if (at <= 0 || rest > nameSize || rest === 0 || at > prefixSize) return undefined;
  return { prefix: name.slice(0, at), rest: name.slice(at + 1) };
}
