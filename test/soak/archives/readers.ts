import { archiveIndex, type BlobSink, plainBytes, readArchive, type WrittenBlob } from "../../../src/core/oci/index.ts";
import { digestOf } from "../../../src/lib/digest.ts";
import { FaultError, messageOf } from "../../../src/lib/faults.ts";
import { TarError, TarReader } from "../../../src/lib/tar/index.ts";
import { hostileArchive } from "./mutate.ts";
import { Random } from "./random.ts";

/** More than this of one archive's parts at once means that a size was believed. */
const maxHeldBytes = 8 << 20;

/** Reads hostile archives as the daemon and the workers do, in this process; answers what went wrong otherwise than told. */
export async function fuzzReaders(seed: number, count: number): Promise<readonly string[]> {
  const troubles: string[] = [];
  for (let index = 0; index < count; index++) {
    const random = new Random(seed + index);
    const { bytes, how } = hostileArchive(random);
    try {
      readLayer(bytes, 1 + random.below(1024));
      await readImages(bytes, 1 + random.below(8192));
    } catch (error) {
      troubles.push(`seed ${seed + index} (${how}): ${messageOf(error)}`);
    }
  }
  return troubles;
}

function readLayer(bytes: Uint8Array, pieceBytes: number): void {
  const reader = new TarReader({ entry: () => {}, data: () => {}, end: () => {} });
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
    reader.finish();
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
  }
}

async function readImages(bytes: Uint8Array, pieceBytes: number): Promise<void> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  const blobs = new Map<string, Uint8Array>();
  const keep = (kept: Uint8Array): WrittenBlob => {
    const digest = digestOf(kept);
    blobs.set(digest, kept);
    return { digest, sizeBytes: kept.length };
  };
  try {
    const contents = await readArchive(plainBytes(pieces()), () => memorySink(keep));
    await archiveIndex(contents, {
      writeDocument: async (document) => keep(document),
      readDocument: async ({ digest }) => blobs.get(digest) ?? new Uint8Array(0),
    });
  } catch (error) {
    if (!(error instanceof FaultError) || error.kind === "unknown") throw error;
  }
}

function memorySink(keep: (bytes: Uint8Array) => WrittenBlob): BlobSink {
  const parts: Uint8Array[] = [];
  let held = 0;
  return {
    write: async (bytes) => {
      held += bytes.length;
      if (held > maxHeldBytes) throw new Error("more bytes than the archive has");
      parts.push(bytes.slice());
    },
    commit: async () => keep(Buffer.concat(parts)),
    abort: async () => {},
  };
}
