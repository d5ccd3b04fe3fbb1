import { readSync } from "node:fs";
import { createDigester } from "../lib/digest.ts";
import type { Kernel } from "../sys/index.ts";
import { openOutput } from "./diffing/output.ts";
import type { RepackJob, RepackResult } from "./jobs.ts";
import { givenFd, serveJob } from "./serve-job.ts";
import { Decompressor } from "./unpacking/decompressor.ts";

/** As much is read at once. */
const pieceBytes = 1 << 18;

// Nothing that is declared below and is no function is there yet while the job runs.
await serveJob<"repack">(repack);

/** Writes the layer that was handed over to standard output, packed otherwise. */
async function repack({ from, to }: RepackJob, kernel: Kernel): Promise<RepackResult> {
  if (process.getuid?.() === 0) kernel.keepCapabilities([]);
  const output = openOutput(to);
  const digester = createDigester();
  for (const piece of from === "none" ? packedPieces() : unpackedPieces(from)) {
    digester.update(piece);
    output.write(piece);
    if (output.isFull()) await output.drained();
  }
  await output.end();
  return { digest: digester.digest() };
}

/** Errors: invalidArgument (it is not packed so, or cut short). */
function* unpackedPieces(from: "gzip" | "zstd"): Generator<Uint8Array> {
  using decompressor = new Decompressor(from);
  for (const piece of packedPieces()) yield* decompressor.push(piece);
  yield* decompressor.finish();
}

/** Read from where the descriptor stands: whoever handed it over sees by that how far this is. */
function* packedPieces(): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  for (;;) {
    const count = readSync(givenFd, buffer, 0, buffer.length, null);
    if (count === 0) return;
    yield buffer.subarray(0, count);
  }
}
