import { openSync } from "node:fs";
import { createDigester } from "../lib/digest.ts";
import { FaultError } from "../lib/faults.ts";
import { displayName, TarError, TarReader } from "../lib/tar/index.ts";
import type { Kernel } from "../sys/index.ts";
import { enterTree, inUserNamespace } from "./enter-tree.ts";
import type { UnpackJob, UnpackResult } from "./jobs.ts";
import { asFault, serveJob } from "./serve-job.ts";
import { treeUsage } from "./tree-usage.ts";
import { compressionOf, openLayer } from "./unpacking/decompress.ts";
import { ignoringSink, LayerUnpacker } from "./unpacking/layer-unpacker.ts";

await serveJob<"unpack">(unpack);

/** Applies a layer, hashing all of the archive on the way, whatever follows its end mark included. */
async function unpack(job: UnpackJob, kernel: Kernel, input: AsyncIterable<Uint8Array>): Promise<UnpackResult> {
  const compression = compressionOf(job.mediaType);
  const bytes = job.blob === undefined ? { pieces: input } : { fd: openSync(job.blob, "r") };
  const userNamespace = inUserNamespace();
  const tree = enterTree(kernel, job.target);
  const unpacker = tree.kind === "nothing" ? undefined : new LayerUnpacker(kernel, tree, userNamespace, job.limits);
  const reader = new TarReader(unpacker ?? ignoringSink);
  const digester = createDigester();
  let sizeBytes = 0;
  try {
    for await (const piece of openLayer(bytes, compression)) {
      digester.update(piece);
      sizeBytes += piece.length;
      if (sizeBytes > job.limits.maxBytes) {
        throw new FaultError("resourceExhausted", `more than ${job.limits.maxBytes} bytes`);
      }
      reader.push(piece);
    }
    reader.finish();
    unpacker?.finish();
  } catch (error) {
    throw withEntry(error, reader);
  }
  if (job.syncFs && unpacker !== undefined) kernel.syncfs(openSync("/", "r"));
  return {
    digest: digester.digest(),
    sizeBytes,
    notes: unpacker?.notes ?? [],
    impliedFolders: unpacker?.impliedFolders ?? [],
    usage: job.measure === true && unpacker !== undefined ? treeUsage("/") : undefined,
  };
}

/** Says at which member it went wrong. */
function withEntry(error: unknown, reader: TarReader): FaultError {
  const entry = error instanceof TarError ? (error.entry ?? reader.current) : reader.current;
  const { kind, message } =
    error instanceof TarError ? { kind: "invalidArgument" as const, message: error.message } : asFault(error);
  const where = entry === undefined ? "" : `entry ${JSON.stringify(displayName(entry))}: `;
  return new FaultError(kind, `${where}${message}`, { cause: error });
}
