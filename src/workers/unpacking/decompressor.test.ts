import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type CompressionKind, Decompressor } from "./decompressor.ts";

const text = Buffer.from("hello world ".repeat(100_000));
const gzip = gzipSync(text);
const zstd = zstdCompressSync(text);
const shaOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** What comes of bytes that are pushed in pieces of a size. */
function outcome(kind: CompressionKind, bytes: Uint8Array, pieceBytes: number): string {
  using decompressor = new Decompressor(kind);
  const hash = createHash("sha256");
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      for (const piece of decompressor.push(bytes.subarray(at, at + pieceBytes))) hash.update(piece);
    }
    for (const piece of decompressor.finish()) hash.update(piece);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return hash.digest("hex");
}

describe("Decompressor", () => {
  describe.each([7, 1000, 1 << 20])("fed with pieces of %d bytes", (pieceBytes) => {
    test.each([
      ["gzip", gzip, shaOf(text)],
      ["gzip", Buffer.concat([gzip, gzip]), shaOf(Buffer.concat([text, text]))],
      ["gzip", Buffer.concat([gzip, Buffer.alloc(300)]), shaOf(text)],
      ["gzip", gzip.subarray(0, -9), "decompress gzip: unexpected end of file: invalid argument"],
      ["gzip", gzip.subarray(0, -3), "decompress gzip: unexpected end of file: invalid argument"],
      ["gzip", Buffer.concat([gzip, gzip.subarray(0, 5)]), "decompress gzip: unexpected end of file: invalid argument"],
      ["gzip", Buffer.concat([gzip, Buffer.from("junk")]), "decompress gzip: incorrect header check: invalid argument"],
      [
        "gzip",
        Buffer.concat([gzip.subarray(0, -8), Buffer.alloc(8)]),
        "decompress gzip: incorrect data check: invalid argument",
      ],
      ["zstd", zstd, shaOf(text)],
      ["zstd", Buffer.concat([zstd, zstd]), shaOf(Buffer.concat([text, text]))],
      [
        "zstd",
        Buffer.concat([zstd.subarray(0, 8), Buffer.alloc(100, 7)]),
        "decompress zstd: Data corruption detected: invalid argument",
      ],
    ] as const)("%s, case %#", (kind, bytes, wanted) => {
      expect(outcome(kind, bytes, pieceBytes)).toBe(wanted);
    });
  });
});
