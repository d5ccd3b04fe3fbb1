import { readSync } from "node:fs";
import { FaultError } from "../../lib/faults.ts";

/** As much is read at once. */
const pieceBytes = 1 << 18;

/** What is said instead of a size once the file is whole. */
export const wholeMark = "whole";

/** A file's bytes; each piece is the taker's only until the next. */
export function* filePieces(fd: number): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  for (let at = 0; ; ) {
    const count = readSync(fd, buffer, 0, buffer.length, at);
    if (count === 0) return;
    at += count;
    yield buffer.subarray(0, count);
  }
}

/**
 * The bytes of a file that grows meanwhile; each piece is the taker's only until the next.
 * Shape: `nextLine` waits for a line that says how many bytes are there, or that the file is whole.
 * Errors: aborted (no more lines come, and the file is not whole).
 */
export function* growingPieces(fd: number, nextLine: () => string | undefined): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  for (let at = 0; ; ) {
    const line = nextLine();
    if (line === wholeMark) return;
    if (line === undefined) throw new FaultError("aborted", "the layer stopped arriving");
    for (const there = Number(line); at < there; ) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, there - at), at);
      if (count === 0) throw new FaultError("dataLoss", `the layer's file ends at ${at} of ${there} bytes`);
      at += count;
      yield buffer.subarray(0, count);
    }
  }
}
