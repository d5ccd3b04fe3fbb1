import { openSync } from "node:fs";
import { createDigester } from "../lib/digest.ts";
import { FaultError } from "../lib/faults.ts";
import { type ByteString, displayName, TarError, TarReader, type TarSink } from "../lib/tar/index.ts";
import type { Kernel } from "../sys/index.ts";
import { type EnteredTree, enterTree, inUserNamespace } from "./enter-tree.ts";
import type { UnpackJob, UnpackResult } from "./jobs.ts";
import { asFault, givenFd, serveJob } from "./serve-job.ts";
import { treeUsage } from "./tree-usage.ts";
import { compressionOf, type LayerPieces, openLayer } from "./unpacking/decompress.ts";
import { LastEntrySink } from "./unpacking/last-entry-sink.ts";
import { filePieces, growingPieces } from "./unpacking/layer-file.ts";
import { ignoringSink, LayerUnpacker } from "./unpacking/layer-unpacker.ts";
import { processed } from "./unpacking/stream-processors.ts";

// Nothing that is declared below and is no function is there yet while the job runs.
await serveJob<"unpack">(unpack);

/** Applies a layer to the job's tree. */
async function unpack(job: UnpackJob, kernel: Kernel, nextLine: () => string | undefined): Promise<UnpackResult> {
  const compression = compressionOf(job.mediaType);
  const pieces = layerPieces(job, nextLine);
  const userNamespace = inUserNamespace();
  const tree = enterTree(kernel, job.target);
  giveUpRights(kernel, tree, userNamespace);
  const unpacker = tree.kind === "nothing" ? undefined : new LayerUnpacker(kernel, tree, userNamespace, job.limits);
  const read = await readArchive(openLayer(pieces, compression), job.limits.maxBytes, unpacker ?? ignoringSink, () =>
    unpacker?.finish(),
  );
  if (unpacker === undefined) return { ...read, notes: [], impliedFolders: [] };
  if (job.syncFs) kernel.syncfs(openSync("/", "r"));
  const { notes, impliedFolders } = unpacker;
  return { ...read, notes, impliedFolders, usage: job.measure === true ? treeUsage("/") : undefined };
}

/**
 * From here on this thread, which reads the archive and makes the files, can do what that takes and no more. The runtime's
 * own threads were there before; they make no system call that an archive has a say in.
 */
function giveUpRights(kernel: Kernel, tree: EnteredTree, userNamespace: boolean): void {
  // In a user namespace these are no rights over the machine.
  if (userNamespace || process.getuid?.() !== 0) return;
  const needed = ["chown", "dacOverride", "fowner", "fsetid", "mknod", "setfcap"] as const;
  // overlay's own marks are attributes that take more.
  const marks = tree.kind === "overlay" && tree.overlayXattrs === "trusted.overlay.";
  kernel.keepCapabilities(marks ? [...needed, "sysAdmin"] : needed);
}

function layerPieces({ blob, processors = [] }: UnpackJob, nextLine: () => string | undefined): LayerPieces {
  if (blob === undefined) return growingPieces(givenFd, nextLine);
  const fd = openSync(blob, "r");
  return processors.length === 0 ? filePieces(fd) : processed(fd, processors);
}

/** Reads an archive to its last byte, hashing all of it, whatever follows its end mark included. */
async function readArchive(
  pieces: AsyncIterable<Uint8Array>,
  maxBytes: number,
  into: TarSink,
  finish: () => void,
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const sink = new LastEntrySink(into);
  const reader = new TarReader(sink);
  const digester = createDigester();
  let sizeBytes = 0;
  try {
    for await (const piece of pieces) {
      digester.update(piece);
      sizeBytes += piece.length;
      if (sizeBytes > maxBytes) throw new FaultError("resourceExhausted", `more than ${maxBytes} bytes`);
      reader.push(piece);
    }
    reader.finish();
    finish();
  } catch (error) {
    throw withEntry(error, reader.current, sink.last);
  }
  return { digest: digester.digest(), sizeBytes };
}

/** Says at which member it went wrong, or after which. */
function withEntry(error: unknown, current: ByteString | undefined, last: ByteString | undefined): FaultError {
  const entry = error instanceof TarError ? (error.entry ?? current) : current;
  const { kind, message } =
    error instanceof TarError ? { kind: "invalidArgument" as const, message: error.message } : asFault(error);
  const shown = (name: ByteString): string => JSON.stringify(displayName(name));
  const after = last === undefined ? "at the beginning" : `after entry ${shown(last)}`;
  const where = entry === undefined ? after : `entry ${shown(entry)}`;
  return new FaultError(kind, `${where}: ${message}`, { cause: error });
}
