import { type ByteString, blockBytes, TarError } from "./entry.ts";

/** Where a field lies in a block. */
export type Field = readonly [offset: number, size: number];

type FieldName =
  | "name"
  | "mode"
  | "uid"
  | "gid"
  | "size"
  | "mtime"
  | "checksum"
  | "type"
  | "linkName"
  | "magic"
  | "devMajor"
  | "devMinor"
  | "prefix"
  | "starPrefix"
  | "starTrailer"
  | "gnuAtime"
  | "gnuSparse"
  | "gnuExtended"
  | "gnuRealSize";

/** Where a header's fields lie: offset and size. Source: tar(5); POSIX.1-2017 pax, "ustar Interchange Format". */
export const fields: Readonly<Record<FieldName, Field>> = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  devMajor: [329, 8],
  devMinor: [337, 8],
  prefix: [345, 155],
  starPrefix: [345, 131],
  starTrailer: [508, 4],
  gnuAtime: [345, 12],
  gnuSparse: [386, 96],
  gnuExtended: [482, 1],
  gnuRealSize: [483, 12],
};

/** The text of a field, up to its first NUL. */
export function textField(block: Buffer, [offset, size]: Field): ByteString {
  const end = offset + size;
  const nul = block.indexOf(0, offset);
  return block.toString("latin1", offset, nul === -1 || nul > end ? end : nul);
}

/** A field's number: octal text, or base-256 when its first bit says so. Errors: TarError. */
export function numberField(block: Buffer, [offset, size]: Field): number {
  const first = block[offset] as number;
  if ((first & 0x80) !== 0) return base256(block, offset, size);
  // As Go reads it: blanks and NULs around, then up to the first NUL.
  const text = block
    .toString("latin1", offset, offset + size)
    .replace(/^[ \0]+/, "")
    .replace(/[ \0][^]*$/, "");
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw new TarError("invalid number in header");
  const value = Number.parseInt(text, 8);
  if (!Number.isSafeInteger(value)) throw new TarError("number out of range in header");
  return value;
}

function base256(block: Buffer, offset: number, size: number): number {
  const negative = ((block[offset] as number) & 0x40) !== 0;
  let value = 0n;
  for (let index = 0; index < size; index++) {
    let byte = block[offset + index] as number;
    if (negative) byte ^= 0xff;
    if (index === 0) byte &= 0x7f;
    value = (value << 8n) | BigInt(byte);
  }
  const signed = Number(negative ? -value - 1n : value);
  if (!Number.isSafeInteger(signed)) throw new TarError("number out of range in header");
  return signed;
}

/** True when the header's checksum is right, taking its bytes as unsigned or, as old tars did, as signed. */
export function checksumMatches(block: Buffer): boolean {
  const [offset, size] = fields.checksum;
  const stored = numberField(block, fields.checksum);
  let unsigned = 0;
  let signed = 0;
  for (let index = 0; index < blockBytes; index++) {
    const byte = index >= offset && index < offset + size ? 0x20 : (block[index] as number);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  return stored === unsigned || stored === signed;
}

/** True for a block of zeros, of which two end an archive. */
export function isZeroBlock(block: Buffer): boolean {
  for (let index = 0; index < blockBytes; index++) if (block[index] !== 0) return false;
  return true;
}

/** The bytes that follow a member's data up to the next block. */
export function paddingAfter(sizeBytes: number): number {
  const rest = sizeBytes % blockBytes;
  return rest === 0 ? 0 : blockBytes - rest;
}
