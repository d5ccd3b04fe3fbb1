import { closeSync, openSync } from "node:fs";
import { createDigester } from "../../lib/digest.ts";
import { FaultError } from "../../lib/faults.ts";
import { type ByteString, displayName, TarError, TarReader, type TarSink } from "../../lib/tar/index.ts";
import type { Kernel } from "../../sys/index.ts";
import type { EnteredTree } from "../enter-tree.ts";
import type { UnpackJob, UnpackResult } from "../jobs.ts";
import { asFault, tellOffset } from "../serve-job.ts";
import { treeUsage } from "../tree-usage.ts";
import { type LayerCompression, type LayerPieces, openLayer } from "./decompress.ts";
import { LastEntrySink } from "./last-entry-sink.ts";
import { ignoringSink, LayerUnpacker } from "./layer-unpacker.ts";

export interface ArchiveOptions extends Pick<UnpackJob, "syncFs" | "limits" | "measure" | "tellsOffset"> {
  readonly kernel: Kernel;
  /** This thread's root by now. */
  readonly tree: EnteredTree;
  readonly userNamespace: boolean;
  readonly pieces: LayerPieces;
  readonly compression: LayerCompression;
}

/** Applies a layer to the tree that is this thread's root. Errors: name the entry. */
export async function unpackArchive(options: ArchiveOptions): Promise<UnpackResult> {
  const { kernel, tree, userNamespace, limits, compression } = options;
  const pieces = options.tellsOffset === true ? told(options.pieces) : options.pieces;
  const unpacker = tree.kind === "nothing" ? undefined : new LayerUnpacker(kernel, tree, userNamespace, limits);
  const read = await readArchive(openLayer(pieces, compression), limits.maxBytes, unpacker ?? ignoringSink, () =>
    unpacker?.finish(),
  );
  if (unpacker === undefined) return { ...read, notes: [], impliedFolders: [] };
  if (options.syncFs) syncRoot(kernel);
  const { notes, impliedFolders } = unpacker;
  return { ...read, notes, impliedFolders, usage: options.measure === true ? treeUsage("/") : undefined };
}

/** How often it is told how far it is. */
const tellMs = 100;

async function* told(pieces: LayerPieces): AsyncGenerator<Uint8Array> {
  let offset = 0;
  let toldAt = performance.now();
  for await (const piece of pieces) {
    yield piece;
    offset += piece.length;
    if (performance.now() - toldAt < tellMs) continue;
    toldAt = performance.now();
    tellOffset(offset);
  }
}

function syncRoot(kernel: Kernel): void {
  const fd = openSync("/", "r");
  try {
    kernel.syncfs(fd);
  } finally {
    closeSync(fd);
  }
}

/** Reads an archive to its last byte, hashing all of it, whatever follows its end mark included. Errors: name the entry. */
export async function readArchive(
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
